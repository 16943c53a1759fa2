//! Draws text from a model: backoff with absolute discounting, one word at a time.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use crate::model::{Continuations, Model, WordId};
use crate::tokens;

/// The part of every count that is kept back for shorter contexts. Lower values quote the text more.
const DISCOUNT: f64 = 0.3;

/// How words are drawn. The same values with the same model and prompt give the same text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest word always; 1 draws as often as the text had it.
    pub temperature: f64,
    /// Where the sequence of random numbers starts.
    pub seed: u64,
}

/// A seed that differs from call to call.
pub fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The continuation of a prompt, without end, as pieces of text to be put after one another.
#[derive(Debug)]
pub struct Generator {
    model: Arc<Model>,
    context: Vec<WordId>,
    previous: String,
    temperature: f64,
    random: SplitMix,
}

impl Generator {
    /// Continues `prompt`.
    pub fn new(model: Arc<Model>, prompt: &str, sampling: Sampling) -> Self {
        let ends_in_word = prompt.ends_with(|last: char| !last.is_whitespace());
        let previous = tokens::split(prompt).last().filter(|_| ends_in_word).unwrap_or_default().to_owned();
        let context = context_of(&model, prompt);
        let random = SplitMix { state: sampling.seed };
        Self { model, context, previous, temperature: sampling.temperature, random }
    }

    fn draw(&mut self) -> Option<WordId> {
        for skipped in 0..=self.context.len() {
            let context = self.context.get(skipped..)?;
            let Some(continuations) = self.model.continuations(context) else { continue };
            if !context.is_empty() && self.random.unit() < backoff_chance(continuations, self.temperature) {
                continue;
            }
            return pick(continuations, self.temperature, &mut self.random);
        }
        None
    }
}

impl Iterator for Generator {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let word = self.draw()?;
        if self.context.len() >= self.model.context_max() && !self.context.is_empty() {
            self.context.remove(0);
        }
        if self.model.context_max() > 0 {
            self.context.push(word);
        }
        let word = self.model.word(word);
        let separator = if self.previous.is_empty() { "" } else { tokens::separator(&self.previous, word) };
        let piece = format!("{separator}{word}");
        word.clone_into(&mut self.previous);
        Some(piece)
    }
}

/// The last words of the prompt that the model knows; without any, the start of a sentence.
fn context_of(model: &Model, prompt: &str) -> Vec<WordId> {
    let words: Vec<_> = tokens::split(prompt).collect();
    let known = words.iter().rev().map_while(|word| model.id(word)).take(model.context_max());
    let mut context: Vec<_> = known.collect();
    context.reverse();
    if context.is_empty() && model.context_max() > 0 {
        context.extend(model.id("."));
    }
    context
}

/// The chance to look at a shorter context: what the discount has kept back, less when it is colder.
fn backoff_chance(continuations: &Continuations, temperature: f64) -> f64 {
    let seen: f64 = continuations.values().copied().map(f64::from).sum();
    let kept_back: f64 = continuations.values().map(|_| DISCOUNT).sum();
    if temperature > 0.0 { (kept_back / seen).powf(temperature.recip()) } else { 0.0 }
}

fn pick(continuations: &Continuations, temperature: f64, random: &mut SplitMix) -> Option<WordId> {
    let likeliest = continuations.iter().rev().max_by_key(|&(_, count)| count);
    let greatest = f64::from(*likeliest?.1);
    if temperature <= 0.0 {
        return likeliest.map(|(&word, _)| word);
    }
    // Relative to the greatest count, so that a very cold power cannot overflow.
    let weight = |count: u32| (f64::from(count) / greatest).powf(temperature.recip());
    let mut left = random.unit() * continuations.values().map(|&count| weight(count)).sum::<f64>();
    for (&word, &count) in continuations {
        left -= weight(count);
        if left < 0.0 {
            return Some(word);
        }
    }
    likeliest.map(|(&word, _)| word)
}

/// The `SplitMix64` generator of Steele, Lea and Flood: tiny, and good enough to choose words.
#[derive(Debug)]
struct SplitMix {
    state: u64,
}

impl SplitMix {
    /// A number from 0 up to, not including, 1.
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let high = u32::try_from(mixed >> 32).unwrap_or(u32::MAX);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = include_str!("texts/plain.txt");
    const TECHNICAL: &str = include_str!("texts/technical.txt");

    fn generate(text: &str, prompt: &str, temperature: f64, seed: u64) -> String {
        let model = Arc::new(Model::train("m", text, 3).unwrap());
        Generator::new(model, prompt, Sampling { temperature, seed }).take(60).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_text_and_another_seed_another() {
        assert_eq!(generate(PLAIN, "The", 0.9, 7), generate(PLAIN, "The", 0.9, 7));
        assert_ne!(generate(PLAIN, "The", 0.9, 7), generate(PLAIN, "The", 0.9, 8));
    }

    #[test]
    fn temperature_zero_does_not_depend_on_the_seed() {
        assert_eq!(generate(PLAIN, "The", 0.0, 7), generate(PLAIN, "The", 0.0, 8));
        assert_ne!(generate(PLAIN, "The", 0.0, 7), generate(PLAIN, "The", 1.5, 7));
    }

    #[test]
    fn the_two_texts_give_different_answers() {
        for seed in 0..20 {
            assert_ne!(generate(PLAIN, "The", 0.8, seed), generate(TECHNICAL, "The", 0.8, seed));
        }
    }

    #[test]
    fn pieces_continue_the_prompt_with_one_space() {
        assert_eq!(generate("one two. one two.", "one", 0.0, 0).get(..9), Some(" two. one"));
        assert_eq!(generate("one two. one two.", "one ", 0.0, 0).get(..8), Some("two. one"));
        assert_eq!(generate("one two. one two.", "", 0.0, 0).get(..8), Some("one two."));
    }

    #[test]
    fn a_model_of_single_words_can_speak_too() {
        let model = Arc::new(Model::train("m", "to be or not to be", 1).unwrap());
        let sampling = Sampling { temperature: 1.0, seed: 1 };
        assert_eq!(Generator::new(model, "to", sampling).take(10).count(), 10);
    }
}
