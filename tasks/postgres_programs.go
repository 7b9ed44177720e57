package tasks

import _ "embed"

//go:embed postgres_settings.sh
var postgresSettingsProgram string

//go:embed undo_copy.sh
var undoCopyProgram string
