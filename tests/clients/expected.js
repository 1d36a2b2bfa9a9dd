// Kinds of clients by their behaviour.

/** A client that does everything by itself. */
export const ALL = {
  empty: 0,
  parsed: 10,
  resumes: true,
  comesBackAfterAnEnd: true,
  keepsItsPlace: true,
  keepsItsPlaceWithOpen: true,
};
/** A client that takes ids with events only: cut before its first event, it does not resume unless `open=1` sends one. */
export const WITH_AN_EVENT = { ...ALL, keepsItsPlace: false };
/** A client that does not reconnect. */
export const ONCE = {
  ...ALL,
  resumes: false,
  comesBackAfterAnEnd: false,
  keepsItsPlace: false,
  keepsItsPlaceWithOpen: false,
};

/** Whether slow clients are tested too. */
export const ALL_OF_THEM = Boolean(process.env.TIDECAST_CLIENTS_ALL);
