//! Planted: pieces formatted only to be appended. Decoy: a title formatted once.

fn main() {
    let text = rows(150_000);
    println!("{} {}", text.len(), title("report"));
}

fn rows(count: u64) -> String {
    let mut text = String::new();
    for i in 0..count {
        text.push_str(&format!("{}:{};", i, i * 3));
    }
    text
}

fn title(name: &str) -> String {
    let mut text = String::new();
    text.push_str(&format!("<{}|{}>", name, name.len()));
    text
}

#[test]
fn rows_are_separated() {
    assert_eq!(rows(2), "0:0;1:3;");
    assert_eq!(title("a"), "<a|1>");
}
