//! What fuzz targets do with their input. The ordinary tests of the crates do the same with the kept corpus, so each
//! module stands alone and panics at what must not be.

pub mod broker;
pub mod codec;
pub mod payload;
#[cfg(feature = "rows")]
pub mod rows;
pub mod selector;
pub mod stored;
pub mod websocket;
