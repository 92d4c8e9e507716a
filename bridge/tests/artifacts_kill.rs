//! A server that is killed in the middle of an upload.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod process;

use process::{PATIENCE, ServerProcess};
use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

#[test]
fn an_upload_that_a_kill_cut_off_is_swept_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(directory.path(), "");
    let folder = server.data_dir().join("artifacts");
    let token = std::fs::read_to_string(server.data_dir().join("admin.token")).unwrap();
    let mut stream = TcpStream::connect(server.api.trim_start_matches("http://")).unwrap();
    write!(
        stream,
        "POST /v1/images/fw@1/file?hardware=hw HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-length: 100000000\r\n\r\n",
        token.trim()
    )
    .unwrap();
    stream.write_all(&vec![7; 3 << 20]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let written = || {
        let files = std::fs::read_dir(&folder).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum::<u64>()
    };
    while written() < 2 << 20 {
        assert!(Instant::now() < deadline, "nothing is written");
        std::thread::yield_now();
    }
    server.kill();
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        1,
        "a kill leaves it"
    );
    server.restart();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(server.get("/v1/images")["items"], serde_json::json!([]));
}
