//! Bodies stream: their size does not show in the door's memory.

use std::io::{Read, Write};

use crate::door::{Door, Service, curl, stderr, stdout};

const GIB: u64 = 1 << 30;
const MOST_KIB: u64 = 8 * 1024;

#[test]
fn a_body_of_one_gib_costs_less_than_8_mib_of_memory_either_way() {
    let service = Service::start(|head, stream| {
        if head.starts_with("PUT ") {
            let mut sink = vec![0; 1 << 16];
            let mut left = GIB;
            while left > 0 {
                match stream.read(&mut sink) {
                    Ok(read @ 1..) => left -= read as u64,
                    _ => return,
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nwhole").ok();
            return;
        }
        let chunk = vec![b'x'; 1 << 16];
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {GIB}\r\nconnection: close\r\n\r\n").ok();
        for _ in 0..GIB / chunk.len() as u64 {
            if stream.write_all(&chunk).is_err() {
                return;
            }
        }
    });
    let door = Door::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\nlog: {{access: off}}\ndefaults: {{timeout: off}}\nroutes:\n  all: {{path: /, to: \"http://{}\"}}\n",
        service.address
    ));
    let (before, _) = door.memory();

    let down = door.curl(&["--output", "/dev/null", "--write-out", "%{size_download}"], "/");
    assert_eq!(stdout(&down), GIB.to_string(), "{}", stderr(&down));
    let (_, after_down) = door.memory();
    assert!(after_down < before + MOST_KIB, "{before} KiB before, {after_down} KiB at most");

    let folder = tempfile::tempdir().unwrap();
    let big = folder.path().join("big");
    std::fs::File::create(&big).unwrap().set_len(GIB).unwrap();
    let up = curl(&["--upload-file", big.to_str().unwrap()], &format!("http://{}/", door.address));
    assert_eq!(stdout(&up), "whole", "{}", stderr(&up));
    let (_, after_up) = door.memory();
    assert!(after_up < before + MOST_KIB, "{before} KiB before, {after_up} KiB at most");
    println!("1 GiB down and up: {before} KiB before, {after_down} KiB and {after_up} KiB at the highest");
}
