//! Planted: a file written line by line. Decoy: a header of two lines.

use std::fs::File;
use std::io::{Result, Write};

fn main() -> Result<()> {
    let path = std::env::temp_dir().join(format!("tune-corpus-{}", std::process::id()));
    write_rows(&path, 30_000)?;
    let rows = std::fs::metadata(&path)?.len();
    write_header(&path)?;
    println!("{rows} {}", std::fs::metadata(&path)?.len());
    std::fs::remove_file(&path)
}

fn write_rows(path: &std::path::Path, count: u32) -> Result<()> {
    let mut file = File::create(path)?;
    for row in 0..count {
        writeln!(file, "{row},{}", row * 2)?;
    }
    Ok(())
}

fn write_header(path: &std::path::Path) -> Result<()> {
    let mut header = File::create(path)?;
    for name in ["row", "twice"] {
        writeln!(header, "{name}")?;
    }
    Ok(())
}

#[test]
fn rows_are_written() {
    let path = std::env::temp_dir().join(format!("tune-corpus-test-{}", std::process::id()));
    write_rows(&path, 2).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0,0\n1,2\n");
    std::fs::remove_file(&path).unwrap();
}
