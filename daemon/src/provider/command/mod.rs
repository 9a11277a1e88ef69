//! Providers of the kind `command`: a configured program makes the result.
//!
//! `settings` has the keys that a person may write, and `definition` their checked form. `template` turns a request into arguments.
//! `CommandRunner` runs the program through the room `process` and returns the file that it wrote. `failure` describes why a run made no file.

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
