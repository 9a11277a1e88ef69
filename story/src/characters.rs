//! Classes of characters that matter for sentences, line breaks and pauses.

/// Pairs of quotes and brackets. The straight double quote is its own partner.
const PAIRS: [(char, char); 15] = [
    ('“', '”'),
    ('‘', '’'),
    ('「', '」'),
    ('『', '』'),
    ('《', '》'),
    ('〈', '〉'),
    ('【', '】'),
    ('（', '）'),
    ('(', ')'),
    ('[', ']'),
    ('{', '}'),
    ('«', '»'),
    ('„', '“'),
    ('‹', '›'),
    ('"', '"'),
];

/// Returns the character that closes this quote or bracket; None for other characters.
pub(crate) fn closer_of(open: char) -> Option<char> {
    PAIRS.iter().find(|pair| pair.0 == open).map(|pair| pair.1)
}

/// Whether this character is a closing quote or bracket.
pub(crate) fn is_closer(character: char) -> bool {
    character == '＂' || PAIRS.iter().any(|pair| pair.1 == character)
}

/// Whether direct speech may begin with this character.
pub(crate) fn opens_speech(character: char) -> bool {
    matches!(character, '“' | '‘' | '"' | '「' | '『' | '«' | '„' | '‹')
}

/// Whether a sentence may end with this character if white space follows.
pub(crate) fn is_narrow_end(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '…' | '‽' | '؟' | '۔' | '।' | '॥')
}

/// Whether a sentence ends with this character, whatever follows. The scripts that use it have no spaces between sentences.
pub(crate) fn is_wide_end(character: char) -> bool {
    matches!(character, '。' | '！' | '？' | '．' | '｡')
}

/// Whether a sentence may end with this character.
pub(crate) fn is_end(character: char) -> bool {
    is_narrow_end(character) || is_wide_end(character)
}

/// Whether a clause may end with this character. For an ASCII character this needs white space behind it.
pub(crate) fn is_clause_end(character: char) -> bool {
    matches!(character, '；' | '：' | '，' | '、' | ';' | ':' | ',' | '—' | '–' | '،' | '؛')
}

/// Whether the character belongs to a script without spaces between words, or is punctuation of such a script.
pub(crate) fn is_wide(character: char) -> bool {
    matches!(character,
        '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{33ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{20000}'..='\u{323af}')
}

/// Whether the character takes two columns: those of scripts without spaces, Korean, and most emoji.
pub(crate) fn takes_two_columns(character: char) -> bool {
    is_wide(character)
        || matches!(character, '\u{1100}'..='\u{115f}' | '\u{ac00}'..='\u{d7a3}' | '\u{1f300}'..='\u{1faff}')
}

/// Returns the number of columns of a text in a monospaced font, such as on a terminal or in a text that was wrapped by hand.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(|character| if takes_two_columns(character) { 2 } else { 1 }).sum()
}

/// Returns a text without its white space. Two texts with equal letters say the same.
pub fn letters(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}
