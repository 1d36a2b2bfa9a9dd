//! A slab of numbered slots. A token names one use of a slot, so a token that outlives its value finds nothing.

/// Slots that are allocated together. A page never moves, and nothing grows by doubling.
const PAGE: usize = 256;

/// Names a value: its slot, and the generation of the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token(u64);

#[derive(Debug)]
pub(super) struct Slab<T> {
    pages: Vec<Vec<Slot<T>>>,
    free: Vec<u32>,
    len: usize,
    /// The generation of the next value. All slots share it, so that they can be freed once they are empty.
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

    /// Returns the page and the slot in it.
    fn slot(self) -> (usize, usize) {
        let index = (self.0 & u64::from(u32::MAX)) as usize;
        (index / PAGE, index % PAGE)
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
            // The lowest is used first.
            self.free.extend((first..first + PAGE as u32).rev());
        }
        let index = self.free.pop().unwrap_or_default();
        let token = Token(u64::from(self.generation) << 32 | u64::from(index));
        self.generation = self.generation.wrapping_add(1).max(1);
        let (page, slot) = token.slot();
        self.pages[page][slot] = Slot { generation: token.generation(), value: Some(value) };
        self.len += 1;
        token
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let (page, slot) = token.slot();
        let slot = self.pages.get_mut(page)?.get_mut(slot)?;
        slot.value.as_mut().filter(|_| slot.generation == token.generation())
    }

    pub(super) fn remove(&mut self, token: Token) -> Option<T> {
        self.get_mut(token)?;
        let (page, slot) = token.slot();
        let value = self.pages[page][slot].value.take();
        self.free.push((token.0 & u64::from(u32::MAX)) as u32);
        self.len -= 1;
        if self.len == 0 {
            self.pages = Vec::new();
            self.free = Vec::new();
        }
        value
    }

    /// Returns the tokens of all values.
    pub(super) fn tokens(&self) -> Vec<Token> {
        let slots = self.pages.iter().flatten().zip(0_u64..);
        slots
            .filter(|(slot, _)| slot.value.is_some())
            .map(|(slot, index)| Token(u64::from(slot.generation) << 32 | index))
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
        assert_eq!(first.slot(), third.slot(), "the slot is used again");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.tokens().len(), 2);
        assert_eq!((slab.remove(second), slab.remove(third)), (Some("second"), Some("third")));
        // All slots were freed meanwhile.
        assert_eq!(slab.pages.capacity(), 0);
        let fourth = slab.insert("fourth");
        assert_eq!(first.slot(), fourth.slot());
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
