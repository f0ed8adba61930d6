//! Projects: their whole life, and the wall between them.

mod life;
mod wall;
