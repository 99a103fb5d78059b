//! Owns: the two state machines, as pure tables of legal transitions. `docs/internals/state_machines.md`
//! draws them and a spec holds the drawing to these tables.

mod step;
mod task;

pub use step::StepState;
pub use task::TaskState;

/// Writes a state enum with its names, its legal transitions and its final states.
macro_rules! state_machine {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal => [$($next:ident),*]),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A state that a newer version of this library has written. It is left as it is: nothing follows from it,
            /// and nothing follows it.
            Unknown,
        }

        impl $name {
            /// Every state this version knows, in the order of the table.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name used in the store, in spans, in logs and in Ruby.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ $name::Unknown => "unknown" }
            }

            /// The state of that name, as the store has it: one that this version does not know is `Unknown`.
            pub fn stored(text: &str) -> $name {
                $name::parse(text).unwrap_or($name::Unknown)
            }

            /// The state of that name.
            pub fn parse(text: &str) -> Option<$name> {
                match text { $($text => Some($name::$variant),)+ _ => None }
            }

            /// The states that may follow this one.
            pub fn successors(self) -> &'static [$name] {
                match self { $($name::$variant => &[$($name::$next),*],)+ $name::Unknown => &[] }
            }

            /// Whether `to` may follow this state.
            pub fn may_become(self, to: $name) -> bool {
                self.successors().contains(&to)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use state_machine;
