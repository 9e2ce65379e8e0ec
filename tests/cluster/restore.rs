//! Getting the data back: beside what is there, in another namespace, in place.
