//! How much an upstream may send ahead of readers that have stalled (RFC 9113, section 5.2).

use super::MAX_STREAMS;

/// What one connection to an upstream may pin here.
#[derive(Debug)]
pub(super) struct Windows {
    /// Bytes an upstream may send ahead on one stream.
    pub(super) stream: u32,
    /// Bytes it may send ahead on all streams of a connection together.
    pub(super) connection: u32,
    /// What small DATA frames nobody has read may cost beyond their bytes, per connection: the
    /// engine keeps about 256 bytes for each, and ends the connection, with all its streams,
    /// beyond this.
    pub(super) frames: usize,
}

const STREAM: u32 = 512 * 1024;

/// Of a connection that many callers share, of which there are few: every stream has its share, so
/// that slow readers don't starve the others, and one that is full of frames of one byte doesn't
/// end it. 192 MiB in all.
pub(super) const SHARED: Windows = Windows {
    stream: STREAM,
    connection: STREAM * MAX_STREAMS as u32,
    frames: STREAM as usize * 256,
};

/// Of a connection of one caller's own, of which a caller gets one by connecting: 5 MiB in all, and 1 MiB
/// where frames have more than 256 bytes; those of 52 bytes never end it. A caller that reads none of
/// four large answers may wait for its others; nobody else does.
pub(super) const OWN: Windows = Windows {
    stream: 256 * 1024,
    connection: 1024 * 1024,
    frames: 4 * 1024 * 1024,
};
