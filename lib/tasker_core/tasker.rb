# frozen_string_literal: true

# Owns: the second name of the library. `Tasker` is {TaskerCore}, unless somebody else has defined it: then it is left
# alone. An application whose own module is called Tasker defines it before it requires the gem (`module Tasker; end`
# above `Bundler.require`), since reopening it later would reopen TaskerCore.
Tasker = TaskerCore unless Object.const_defined?(:Tasker)
