//! The Arbiter driven as its caller drives it: a rig with a small site, cases in sentences, rules as properties.

mod cases;
mod control;
mod field;
mod laws;
mod rig;
mod rules;
mod transformers;
mod vehicles;
