//! The text of a task: read, changed as little as possible, written.

use proptest::prelude::*;
use tidemill_workstream::files::Document;
use tidemill_workstream::model::{Priority, Status, Task, TaskId, Timestamp};

fn task(title: &str) -> Task {
    Task {
        id: TaskId::new(1_795_253_400_000, 7),
        title: title.to_owned(),
        body: String::new(),
        status: Status::Todo,
        priority: Priority::Normal,
        role: None,
        assignee: None,
        labels: Vec::new(),
        parent: None,
        depends_on: Vec::new(),
        lease: None,
        created_at: Timestamp::from_unix_ms(0),
        updated_at: Timestamp::from_unix_ms(0),
        version: 1,
        comments: 0,
        conflicts: 0,
        is_revived: false,
    }
}

/// Reads `text`, makes `change` and compares; `ID` stands for the identity in both.
#[track_caller]
fn check(text: &str, change: impl FnOnce(&mut Task), want: &str) {
    let id = task("").id.to_string();
    let document = Document::read(text.replace("ID", &id).as_bytes()).expect("good");
    let values = document.values().clone();
    let mut task = Task {
        title: document.title("file.md"),
        body: document.body().to_owned(),
        status: values.status,
        priority: values.priority,
        role: values.role,
        assignee: values.assignee,
        labels: values.labels,
        ..task("")
    };
    change(&mut task);
    assert_eq!(document.with(&task).text(), want.replace("ID", &id));
}

#[test]
fn only_the_value_that_changes_changes() {
    check(
        "+++\r\n# ours\r\nid = \"ID\"\r\nmine = 1 # kept\r\ntitle   =  'a' # why\r\n[x]\r\ny = 2\r\n+++\r\nbody\r\n",
        |task| {
            task.title = "b".to_owned();
            task.status = Status::Done;
        },
        "+++\r\n# ours\r\nid = \"ID\"\r\nmine = 1 # kept\r\ntitle   =  \"b\" # why\r\nstatus = \"done\"\r\n[x]\r\ny = 2\r\n+++\r\nbody\r\n",
    );
}

#[test]
fn yaml_is_kept_as_yaml() {
    check(
        "---\nid: ID\ntitle: a # why\nlabels:\n  - one # kept not\n  - two\nother: {x: 1}\n---\n\nbody\n",
        |task| {
            task.labels = vec!["three".to_owned()];
            task.assignee = Some("anna: x".to_owned());
        },
        "---\nid: ID\ntitle: a # why\nlabels: [three]\nassignee: \"anna: x\"\nother: {x: 1}\n---\n\nbody\n",
    );
}

#[test]
fn a_value_that_goes_leaves_its_line_and_comment() {
    check(
        "+++\nid = \"ID\"\ntitle = \"a\"\nassignee = \"anna\" # until May\n+++\n",
        |task| task.assignee = None,
        "+++\nid = \"ID\"\ntitle = \"a\"\nassignee = \"\" # until May\n+++\n",
    );
}

#[test]
fn a_plain_text_gets_a_front_matter_and_keeps_its_mark_of_byte_order() {
    check(
        "\u{feff}# Buy flour\n\nTwo bags.",
        |_| {},
        "\u{feff}+++\nid = \"ID\"\ntitle = \"Buy flour\"\nstatus = \"todo\"\n+++\n\n# Buy flour\n\nTwo bags.\n",
    );
}

#[test]
fn what_is_half_written_is_refused_with_its_place() {
    for (text, want) in [
        ("", "line 1, column 1: is empty"),
        ("+++\nid = \"x", "line 1, column 1: the front matter has no closing line `+++`"),
        ("+++\nstatus = \"undone\"\n+++\n", "line 2, column 10: status: `undone` is not one of"),
        ("---\ntitle: {a: b}\n---\n", "line 2, column 8: title is of a kind"),
        ("+++\nlabels = \"x\"\n+++\n", "line 2, column 10: labels is not a list of texts"),
    ] {
        let torn = Document::read(text.as_bytes()).expect_err("torn").to_string();
        assert!(torn.starts_with(want), "{torn}");
    }
    assert!(Document::read(b"+++\ntitle = \"\xff\"\n+++\n").is_err());
}

fn any_task() -> impl Strategy<Value = Task> {
    let name = || proptest::option::of("[a-zA-Z0-9 :#'\"\\\\-]{0,12}[a-zäß]");
    let label = "[a-z:#'\"-]{1,8}";
    let parts = (
        "[^\\p{C}]{0,20}[a-z]",
        "([a-z #+-]{0,9}\n){0,5}[a-z]{0,3}",
        0..5_usize,
        0..5_usize,
        name(),
        name(),
        proptest::collection::btree_set(label, 0..4),
        proptest::collection::btree_set(any::<u64>(), 0..3),
    );
    parts.prop_map(|(title, body, status, priority, role, assignee, labels, depends_on)| {
        let mut depends_on: Vec<_> =
            depends_on.into_iter().map(|n| TaskId::new(n, n.into())).collect();
        depends_on.sort_unstable();
        let trimmed = |name: Option<String>| name.map(|name| name.trim().to_owned());
        Task {
            body,
            status: Status::ALL[status],
            priority: Priority::ALL[priority],
            role: trimmed(role),
            assignee: trimmed(assignee),
            labels: labels.into_iter().collect(),
            depends_on,
            ..task(&title)
        }
    })
}

/// What a file says, as a task would have it.
fn said(document: &Document) -> (String, String, String) {
    let values = document.values();
    let rest = format!(
        "{} {} {:?} {:?} {:?} {:?}",
        values.status,
        values.priority,
        values.role,
        values.assignee,
        values.labels,
        values.depends_on
    );
    (document.title("x.md"), document.body().to_owned(), rest)
}

fn wanted(task: &Task) -> (String, String, String) {
    let rest = format!(
        "{} {} {:?} {:?} {:?} {:?}",
        task.status, task.priority, task.role, task.assignee, task.labels, task.depends_on
    );
    let end = if task.body.is_empty() || task.body.ends_with('\n') { "" } else { "\n" };
    (task.title.clone(), format!("{}{end}", task.body), rest)
}

proptest! {
    #[test]
    fn a_new_file_says_what_the_task_is_and_writing_it_again_changes_nothing(task in any_task()) {
        let document = Document::new(&task);
        prop_assert_eq!(said(&document), wanted(&task));
        let again = document.with(&task);
        prop_assert_eq!(again.text(), document.text());
    }

    #[test]
    fn a_changed_file_says_what_the_task_became(
        before in any_task(),
        after in any_task(),
        is_yaml in any::<bool>(),
        has_crlf in any::<bool>(),
    ) {
        let mut text = Document::new(&before).text().to_owned();
        if is_yaml {
            let (front, body) = text[4..].split_once("+++\n").expect("a front matter");
            let front = front.replacen(" = ", ": ", usize::MAX);
            // A text that holds ` = ` itself is not what is tested here.
            prop_assume!(before.title.find(" = ").is_none());
            text = format!("---\n# a comment\n{front}---\n{body}");
        }
        if has_crlf {
            text = text.replace('\n', "\r\n");
        }
        let document = Document::read(text.as_bytes()).expect("good");
        prop_assert_eq!(said(&document), wanted(&before));
        let written = document.with(&before);
        prop_assert_eq!(written.text(), text.as_str());
        let changed = document.with(&after);
        prop_assert_eq!(said(&changed), wanted(&after));
        prop_assert_eq!(changed.text().contains("# a comment"), is_yaml);
        prop_assert!(!has_crlf || !changed.text().replace("\r\n", "").contains('\n'));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(Document::read(&bytes));
        let mut text = b"---\n".to_vec();
        text.extend(&bytes);
        text.extend(b"\n---\n");
        drop(Document::read(&text));
    }

    #[test]
    fn no_yaml_makes_it_panic(
        lines in "((id|title|labels): ?[\\[\\]'\"#, a:|-]{0,8}\n| *- [a'\"]{0,3}\n){0,6}",
    ) {
        let text = format!("---\n{lines}---\nbody\n");
        if let Ok(document) = Document::read(text.as_bytes()) {
            let changed = document.with(&task("new"));
            prop_assert_eq!(changed.title("x.md"), "new");
        }
    }
}
