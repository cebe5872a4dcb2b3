//! Search: what is stored can be found, by the rules of the query, and no longer when it is gone.

use tidemill_workstream::Workstream;
use tidemill_workstream::model::{
    HitKind, MemoryKey, MemoryPut, NewTask, PageRequest, SearchQuery, TaskFilter, TaskPatch,
    TaskSort,
};

use super::{open, titled};

async fn found(workspace: &Workstream, text: &str) -> Vec<String> {
    let hits = workspace.search(SearchQuery::new(text)).await.expect("an answer");
    let mut titles: Vec<_> = hits.into_iter().map(|hit| hit.title).collect();
    titles.sort();
    titles
}

async fn filled(workspace: &Workstream) {
    for (title, body, label) in [
        ("Grind the corn", "The mill grinds slowly, but it grinds.", "food"),
        ("Repair the wheel", "The wheel of the tide mill is broken", "wood"),
        ("Bake", "Bread of fine flour. Crème brûlée too.", "food"),
    ] {
        let labels = vec![label.to_owned()];
        let new = NewTask { body: body.to_owned(), labels, ..titled(title) };
        workspace.create("anna", new).await.expect("good");
    }
    let key = MemoryKey::new("mill", "wheel");
    let put = MemoryPut { value: "Oak, 3 m".to_owned(), format: None, base: None };
    workspace.memory_put("anna", &key, put, None).await.expect("good");
    workspace.indexed().await.expect("indexed");
}

#[tokio::test]
async fn queries_are_understood() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    filled(&workspace).await;
    let (corn, wheel, bake, oak) = ("Grind the corn", "Repair the wheel", "Bake", "mill/wheel");
    for (query, want) in [
        ("mill", vec![corn, wheel, oak]),
        ("MILL grinds", vec![corn]),
        ("\"tide mill\"", vec![wheel]),
        ("\"mill tide\"", vec![]),
        ("gri*", vec![corn]),
        ("label:food", vec![bake, corn]),
        ("label:food -mill", vec![bake]),
        ("title:wheel", vec![wheel, oak]),
        ("body:wheel", vec![wheel]),
        ("bread OR oak", vec![bake, oak]),
        ("creme", vec![bake]),
        ("status:todo wheel", vec![wheel]),
        ("\"\" -", vec![]),
        ("nothing:such", vec![]),
    ] {
        assert_eq!(found(&workspace, query).await, want, "{query}");
    }
    let mut open_ended = SearchQuery::new("repair whe");
    open_ended.is_last_word_open = true;
    open_ended.kind = Some(HitKind::Task);
    let hits = workspace.search(open_ended).await.expect("an answer");
    assert_eq!(hits.len(), 1);
    assert!(hits[0].snippet_html.contains("<b>wheel</b>"), "{}", hits[0].snippet_html);
    let filter = TaskFilter { text: Some("flou".to_owned()), ..TaskFilter::default() };
    let page = workspace.list(filter, TaskSort::default(), PageRequest::default()).await;
    assert_eq!(page.expect("a page").items[0].title, bake);
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn the_index_follows_changes_and_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    filled(&workspace).await;
    let hit = workspace.search(SearchQuery::new("corn")).await.expect("an answer").remove(0);
    let id = hit.task.expect("a task");
    workspace.comment("ben", id, "Use the quern.").await.expect("good");
    workspace.indexed().await.expect("indexed");
    assert_eq!(found(&workspace, "comment:quern").await, ["Grind the corn"]);
    let patch = TaskPatch { title: Some("Grind the rye".to_owned()), ..TaskPatch::default() };
    workspace.patch("ben", id, patch, None).await.expect("good");
    workspace.close().await.expect("closes");

    let workspace = open(folder.path()).await;
    assert_eq!(workspace.stats().await.expect("stats").index_lag, 0, "closing caught up");
    assert_eq!(found(&workspace, "rye").await, ["Grind the rye"]);
    assert!(found(&workspace, "corn").await.is_empty());
    workspace.delete("ben", id, None).await.expect("there");
    workspace.indexed().await.expect("indexed");
    assert!(found(&workspace, "rye").await.is_empty());
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn an_index_that_is_broken_or_gone_is_built_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    filled(&workspace).await;
    workspace.close().await.expect("closes");
    let index = folder.path().join(".tidemill/index");
    std::fs::write(index.join("meta.json"), "{").expect("written");
    for _ in 0..2 {
        let workspace = open(folder.path()).await;
        workspace.indexed().await.expect("indexed");
        assert_eq!(found(&workspace, "flour").await, ["Bake"]);
        workspace.close().await.expect("closes");
        std::fs::remove_dir_all(&index).expect("removed");
    }
}
