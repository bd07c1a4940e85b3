//! Guards the floors of the house.
