//! Renders every page, with good texts and with hostile ones, and reads it as a browser does.

mod answers;
mod colours;
mod document;
mod hostile;
mod samples;

use document::Document;

#[test]
fn every_page_is_sound() {
    let samples = samples::all();
    assert!(samples.len() > 20, "these are not the samples");
    for sample in &samples {
        let faults = Document::of(sample).faults();
        assert!(faults.is_empty(), "{}: {}\n{}", sample.name, faults.join("\n"), sample.html);
    }
}

#[test]
fn every_page_can_be_looked_at() {
    let mut names: Vec<_> = samples::all().into_iter().map(|sample| sample.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two samples have one name");
    // For whoever wants to see them: the policy is written beside each, for a server that shows them with it.
    if let Some(directory) = std::env::var_os("GATEPOST_PAGES") {
        let directory = std::path::PathBuf::from(directory);
        std::fs::create_dir_all(&directory).unwrap();
        for sample in samples::all().into_iter().chain(hostile::samples()) {
            std::fs::write(directory.join(format!("{}.html", sample.name)), &sample.html).unwrap();
            std::fs::write(directory.join(format!("{}.csp", sample.name)), sample.policy()).unwrap();
        }
    }
}
