//! The examples that show one feature each: every one as its comments describe, and where it must refuse.

mod dynamic_linking;
mod one_time;
mod refusals;
mod scope_and_age;
