//! Providers of the kind `command`: a configured program makes the result.
//!
//! `settings` is what a person may write, `definition` what was checked of it, `template` how a request becomes arguments. `CommandRunner` runs
//! the program in the room `process` and returns the file that it wrote; `failure` says why there is none.

mod definition;
mod failure;
mod placeholder;
mod program;
mod runner;
mod settings;
mod shipped;
mod template;
mod voices;

pub use self::{
    definition::{CommandDefinition, SettingProblem, Verified, VoiceList},
    placeholder::{Placeholder, Values},
    program::{NotInstalled, find_program},
    runner::{CommandError, CommandRunner, Made},
    settings::CommandSettings,
    shipped::{NoDefinition, names, shipped},
    template::{Argument, FillError, Template, TemplateError, TemplateItem},
    voices::{NoVoice, Voice, VoiceFormat, for_language, named},
};
