//! The language model: for every context of up to `order - 1` words, how often each word came next.

use std::collections::{BTreeMap, HashMap};

use crate::tokens;

/// The position of a word in the vocabulary.
pub type WordId = u32;

/// The words seen after one context, with how often each was seen.
pub type Continuations = BTreeMap<WordId, u32>;

/// The contexts of one length. Ordered, so that the same text always trains to the same bytes.
pub type Level = BTreeMap<Vec<WordId>, Continuations>;

/// The longest n-gram that can be counted: contexts beyond this never repeat in texts of a sensible size.
pub const ORDER_MAX: usize = 5;

/// A trained model. `levels[k]` holds the contexts of `k` words; `levels[0]` has the one empty context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    name: String,
    vocabulary: Vec<String>,
    index: HashMap<String, WordId>,
    levels: Vec<Level>,
}

/// Why a model cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModelError {
    /// Nothing to learn from.
    #[error("the text has no words")]
    NoWords,
    /// An order outside `1..=ORDER_MAX`.
    #[error("the order is {order}, it must be from 1 to {ORDER_MAX}")]
    Order { order: usize },
    /// The parts do not belong together; trained models never are like this.
    #[error("{0}")]
    Inconsistent(&'static str),
}

impl Model {
    /// Counts the n-grams of a text up to `order` words.
    pub fn train(name: &str, text: &str, order: usize) -> Result<Self, ModelError> {
        let mut vocabulary = Vec::new();
        let mut index = HashMap::new();
        let words: Vec<WordId> =
            tokens::split(text).map(|token| word_id(token, &mut vocabulary, &mut index)).collect();
        let mut levels = vec![Level::new(); order];
        for (end, &word) in words.iter().enumerate() {
            for (length, level) in levels.iter_mut().enumerate() {
                let Some(context) = end.checked_sub(length).and_then(|start| words.get(start..end)) else {
                    break;
                };
                *level.entry(context.to_vec()).or_default().entry(word).or_default() += 1;
            }
        }
        Self::from_parts(name.to_owned(), vocabulary, levels)
    }

    /// Puts a model together from what an artifact holds, and refuses parts that do not fit each other.
    pub fn from_parts(name: String, vocabulary: Vec<String>, levels: Vec<Level>) -> Result<Self, ModelError> {
        let order = levels.len();
        if order == 0 || order > ORDER_MAX {
            return Err(ModelError::Order { order });
        }
        if vocabulary.is_empty() {
            return Err(ModelError::NoWords);
        }
        check_levels(&levels, vocabulary.len())?;
        let index: HashMap<_, _> = vocabulary.iter().cloned().zip(0..).collect();
        if index.len() != vocabulary.len() {
            return Err(ModelError::Inconsistent("a word is twice in the vocabulary"));
        }
        Ok(Self { name, vocabulary, index, levels })
    }

    /// The name given at training.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The words, by their id.
    pub fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    /// The counts, by length of context.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// How many different n-grams of the highest order were seen.
    pub fn longest_ngrams(&self) -> usize {
        self.levels.last().map_or(0, |level| level.values().map(Continuations::len).sum())
    }

    /// The most words that a context can have.
    pub fn context_max(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// The id of a word, if the text had it.
    pub fn id(&self, word: &str) -> Option<WordId> {
        self.index.get(word).copied()
    }

    /// The word of an id of this model; empty for a foreign id.
    pub fn word(&self, id: WordId) -> &str {
        usize::try_from(id).ok().and_then(|at| self.vocabulary.get(at)).map_or("", String::as_str)
    }

    /// What came after exactly this context, if it was ever seen.
    pub fn continuations(&self, context: &[WordId]) -> Option<&Continuations> {
        self.levels.get(context.len())?.get(context)
    }
}

fn word_id(token: &str, vocabulary: &mut Vec<String>, index: &mut HashMap<String, WordId>) -> WordId {
    if let Some(&id) = index.get(token) {
        return id;
    }
    let id = WordId::try_from(vocabulary.len()).unwrap_or(WordId::MAX);
    vocabulary.push(token.to_owned());
    index.insert(token.to_owned(), id);
    id
}

fn check_levels(levels: &[Level], words: usize) -> Result<(), ModelError> {
    let known = |id: &WordId| usize::try_from(*id).is_ok_and(|at| at < words);
    if !levels.first().is_some_and(|level| level.len() == 1 && level.contains_key::<[WordId]>(&[])) {
        return Err(ModelError::Inconsistent("the counts of single words are missing"));
    }
    for (length, level) in levels.iter().enumerate() {
        for (context, continuations) in level {
            if context.len() != length {
                return Err(ModelError::Inconsistent("a context is at the wrong level"));
            }
            if !context.iter().chain(continuations.keys()).all(known) {
                return Err(ModelError::Inconsistent("a count names a word outside the vocabulary"));
            }
            if continuations.is_empty() || continuations.values().any(|&count| count == 0) {
                return Err(ModelError::Inconsistent("a count is zero"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_follows_a_context() {
        let model = Model::train("m", "the cat saw the cat and the dog", 3).unwrap();
        let [the, cat, dog] = ["the", "cat", "dog"].map(|word| model.id(word).unwrap());
        assert_eq!(model.continuations(&[the]).unwrap(), &Continuations::from([(cat, 2), (dog, 1)]));
        assert_eq!(model.continuations(&[]).unwrap().get(&the), Some(&3));
        assert_eq!(model.continuations(&[dog]), None);
    }

    #[test]
    fn a_text_without_words_and_an_impossible_order_are_refused() {
        assert_eq!(Model::train("m", " \n ", 3), Err(ModelError::NoWords));
        assert_eq!(Model::train("m", "some words", 0), Err(ModelError::Order { order: 0 }));
        assert_eq!(Model::train("m", "some words", 6), Err(ModelError::Order { order: 6 }));
    }
}
