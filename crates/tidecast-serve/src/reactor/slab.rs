//! Numbered places for connections. A number says which use of its place it means, so that one that outlives its
//! connection finds nothing.

/// How many places are made at once: a page never moves, and nothing grows by doubling.
const PAGE: usize = 256;

/// The number of a connection: its place, and which use of the place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token(u64);

#[derive(Debug)]
pub(super) struct Slab<T> {
    pages: Vec<Vec<Slot<T>>>,
    free: Vec<u32>,
    len: usize,
    /// Of the next that comes. One for all places, so that they can be given up once nobody is there.
    generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl Token {
    pub(super) fn from_u64(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn as_u64(self) -> u64 {
        self.0
    }

    fn place(self) -> (usize, usize) {
        let place = (self.0 & u64::from(u32::MAX)) as usize;
        (place / PAGE, place % PAGE)
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        // From 1, so that no token is 0.
        Self { pages: Vec::new(), free: Vec::new(), len: 0, generation: 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, value: T) -> Token {
        if self.free.is_empty() {
            let first = (self.pages.len() * PAGE) as u32;
            self.pages.push((0..PAGE).map(|_| Slot { generation: 0, value: None }).collect());
            // The lowest is the next that is taken.
            self.free.extend((first..first + PAGE as u32).rev());
        }
        let place = self.free.pop().unwrap_or_default();
        let token = Token(u64::from(self.generation) << 32 | u64::from(place));
        self.generation = self.generation.wrapping_add(1).max(1);
        let (page, slot) = token.place();
        self.pages[page][slot] = Slot { generation: token.generation(), value: Some(value) };
        self.len += 1;
        token
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let (page, slot) = token.place();
        let slot = self.pages.get_mut(page)?.get_mut(slot)?;
        slot.value.as_mut().filter(|_| slot.generation == token.generation())
    }

    pub(super) fn remove(&mut self, token: Token) -> Option<T> {
        self.get_mut(token)?;
        let (page, slot) = token.place();
        let value = self.pages[page][slot].value.take();
        self.free.push((token.0 & u64::from(u32::MAX)) as u32);
        self.len -= 1;
        if self.len == 0 {
            self.pages = Vec::new();
            self.free = Vec::new();
        }
        value
    }

    /// All who are there, at this moment.
    pub(super) fn tokens(&self) -> Vec<Token> {
        let slots = self.pages.iter().flatten().zip(0_u64..);
        slots
            .filter(|(slot, _)| slot.value.is_some())
            .map(|(slot, place)| Token(u64::from(slot.generation) << 32 | place))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_finds_its_own_value_and_no_later_one() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        let second = slab.insert("second");
        assert_eq!(slab.get_mut(first).copied(), Some("first"));
        assert_eq!(slab.remove(first), Some("first"));
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        let third = slab.insert("third");
        assert_eq!(first.place(), third.place(), "the place is used again");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.tokens().len(), 2);
        assert_eq!((slab.remove(second), slab.remove(third)), (Some("second"), Some("third")));
        // All places were given up meanwhile.
        assert_eq!(slab.pages.capacity(), 0);
        let fourth = slab.insert("fourth");
        assert_eq!(first.place(), fourth.place());
        for gone in [first, second, third] {
            assert_eq!(slab.get_mut(gone), None);
        }
        assert_eq!(slab.get_mut(Token::from_u64(fourth.as_u64())).copied(), Some("fourth"));
        assert_eq!(slab.get_mut(Token::from_u64(0)), None);
    }

    #[test]
    fn it_grows_by_pages() {
        let mut slab = Slab::new();
        let tokens: Vec<_> = (0..3 * PAGE).map(|number| slab.insert(number)).collect();
        assert_eq!((slab.len(), slab.pages.len()), (3 * PAGE, 3));
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(slab.remove(*token), Some(number));
        }
        assert_eq!(slab.len(), 0);
    }
}
