//! The words of a text, as search sees them: the same on every database engine, because they are cut here.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Cuts a text into words: runs of letters and digits, in lower case and without accents.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let plain: String = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    let words: Vec<String> = plain.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(cut).collect();
    words.into_iter()
}

/// Words longer than this count by their beginning.
const MAX_WORD: usize = 64;

fn cut(word: &str) -> String {
    word.chars().take(MAX_WORD).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_plain() {
        let cut = |text| words(text).collect::<Vec<_>>();
        assert_eq!(cut("Café-Crème, 2.5kg  GRÖSSE"), ["cafe", "creme", "2", "5kg", "grosse"]);
        assert_eq!(cut("ﬁne ½ 日本"), ["fine", "1", "2", "日本"]);
        assert_eq!(cut(" -- "), Vec::<String>::new());
    }
}
