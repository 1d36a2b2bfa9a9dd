// What clients do, in kinds.

/** What a client is to do that needs no help. */
export const ALL = {
  empty: 0,
  parsed: 10,
  resumes: true,
  comesBackAfterAnEnd: true,
  keepsItsPlace: true,
  keepsItsPlaceWithOpen: true,
};
/** One that commits an id with an event alone: cut before its first, it begins anew, unless `open=1` begins with one. */
export const WITH_AN_EVENT = { ...ALL, keepsItsPlace: false };
/** One that does not connect again at all. */
export const ONCE = {
  ...ALL,
  resumes: false,
  comesBackAfterAnEnd: false,
  keepsItsPlace: false,
  keepsItsPlaceWithOpen: false,
};

/** Whether those that take longer are tried too. */
export const ALL_OF_THEM = Boolean(process.env.TIDECAST_CLIENTS_ALL);
