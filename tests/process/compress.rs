//! `compress` as real curl sees it.

use std::io::Write;

use crate::door::{Door, Service, stdout};

#[test]
fn curl_reads_each_coding_that_it_speaks() {
    let page = "a page of words that come again and again, ".repeat(5000);
    let body = page.clone();
    let service = Service::start(move |_, stream| {
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n{body}").ok();
    });
    let door = Door::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\nlog: {{access: off}}\ndefaults: {{filters: {{compress: {{}}}}}}\nroutes: {{all: {{path: /, to: \"http://{}\"}}}}\n",
        service.address
    ));
    let features = stdout(&std::process::Command::new("curl").arg("--version").output().expect("curl is installed"));
    for (coding, feature) in [("gzip", "libz"), ("br", "brotli"), ("zstd", "zstd")] {
        if !features.contains(feature) {
            continue;
        }
        let accept = format!("accept-encoding: {coding}");
        let head = stdout(
            &door.curl(&["--compressed", "-H", &accept, "-D", "-", "-o", "/dev/null", "-w", "%{size_download}"], "/"),
        );
        assert!(head.to_lowercase().contains(&format!("content-encoding: {coding}")), "{head}");
        let downloaded: usize = head.lines().last().unwrap().parse().unwrap();
        assert!(downloaded < page.len() / 20, "{coding}: {downloaded} of {}", page.len());
        assert!(stdout(&door.curl(&["--compressed", "-H", &accept], "/")) == page, "{coding}: the page is another one");
    }
    assert!(stdout(&door.curl(&[], "/")) == page);
}
