//! What a look-up costs with 10, 1,000 and 10,000 routes, what reading a path costs, and what building a table costs.
//!
//! `cargo bench --bench lookup`

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, Method};
use onedoor::head::{Head, Path};
use onedoor::route::{Condition, HostPattern, Lookup, Matcher, Methods, Pattern, Table, Test};

/// A mix: prefixes, exact paths, wildcards, methods, hosts, conditions.
fn matcher(index: usize) -> Matcher {
    let team = index / 10;
    let (paths, methods): (&[String], &[&str]) = match index % 10 {
        0..=2 => (&[format!("/team{team}/service{index}/")], &[]),
        3 => (&[format!("/team{team}/service{index}/{{id}}")], &["GET"]),
        4 => (&[format!("/group{team}/{{id}}/items{index}/{{item}}")], &["GET", "POST"]),
        5 => (&[format!("/team{team}/exact{index}"), format!("/team{team}/exact{index}/")], &[]),
        6 => (&[format!("/files/{index}/{{path...}}")], &["PUT"]),
        7 => (&[format!("/{{tenant}}/report{index}")], &[]),
        _ => (&[format!("/api/v1/resource{index}/{{id}}/sub")], &[]),
    };
    let hosts = match index % 20 {
        8 => vec![HostPattern::parse("api.example.com").expect("a host")],
        9 => vec![HostPattern::parse("*.example.com").expect("a host")],
        _ => vec![],
    };
    let conditions = match index % 10 {
        2 => vec![Condition::header(HeaderName::from_static("x-version"), Test::exact("1"))],
        _ => vec![],
    };
    Matcher {
        name: format!("route{index}").into(),
        hosts,
        paths: paths.iter().map(|path| Pattern::parse(path).expect("a pattern")).collect(),
        methods: Methods::parse(methods).expect("methods"),
        conditions,
    }
}

fn matchers(count: usize) -> Vec<Matcher> {
    (0..count).map(matcher).collect()
}

fn table(count: usize) -> Table {
    Table::build(matchers(count)).unwrap_or_else(|conflicts| panic!("{}: {}", conflicts[0].example, conflicts[0].why))
}

fn lookup(criterion: &mut Criterion) {
    let headers = HeaderMap::new();
    for count in [10, 1_000, 10_000] {
        let table = table(count);
        // The same paths for each size, so that only the size makes a difference.
        for (name, path) in [
            ("prefix", "/team0/service1/users/7"),
            ("exact", "/team0/exact5"),
            ("wildcards", "/group0/7/items4/9"),
            ("none", "/nowhere/to/be/found"),
        ] {
            let path = Path::parse(path).expect("a path");
            let head = Head { method: &Method::GET, host: "www.test", path: &path, query: None, headers: &headers };
            let found = matches!(table.find(&head), Lookup::Route(_));
            assert_eq!(found, name != "none");
            criterion.bench_function(&format!("find {name} of {count}"), |b| b.iter(|| table.find(black_box(&head))));
        }
        // All prefixes by turns, and as many paths for each size, as no two requests have theirs in one place.
        let paths: Vec<Path> = (0..10_000)
            .filter(|index| index % 10 < 2)
            .map(|index| index % count)
            .map(|index| Path::parse(&format!("/team{}/service{index}/users/7", index / 10)).expect("a path"))
            .collect();
        let mut turn = 0;
        criterion.bench_function(&format!("find each of {count}"), |b| {
            b.iter(|| {
                turn = (turn + 7919) % paths.len();
                let path = &paths[turn];
                table.find(&Head { method: &Method::GET, host: "www.test", path, query: None, headers: &headers })
            });
        });
    }
}

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    let matchers = matchers(10_000);
    group.bench_function("10000", |b| {
        b.iter_batched(|| matchers.clone(), Table::build, BatchSize::PerIteration);
    });
    group.finish();
}

fn path(criterion: &mut Criterion) {
    for (name, raw) in [
        ("canonical", "/team12/service120/users/7/orders/123456"),
        ("encoded", "/team12/service120/%75sers/7/orders/1234"),
        ("dots", "/team12/x/../service120/users/7/ord/1234"),
    ] {
        criterion.bench_function(&format!("path {name}"), |b| b.iter(|| Path::parse(black_box(raw))));
    }
}

criterion_group!(benches, lookup, build, path);
criterion_main!(benches);
