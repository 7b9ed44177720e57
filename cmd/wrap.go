package cmd

import (
	"strings"
	"unicode/utf8"
)

// helpWidth is how wide the text of help is at most.
const helpWidth = 100

// wrap breaks text at blanks so that no line is wider than helpWidth, each beginning with indent. Empty lines and lines that begin with a blank or a
// list's dash stay as they are.
func wrap(text, indent string) string {
	var b strings.Builder
	for _, paragraph := range paragraphs(text) {
		if paragraph == "" || strings.HasPrefix(paragraph, " ") {
			b.WriteString(strings.TrimRight(indent+paragraph, " ") + "\n")
			continue
		}
		line := indent
		for _, word := range strings.Fields(paragraph) {
			if line != indent && utf8.RuneCountInString(line)+utf8.RuneCountInString(word)+1 > helpWidth {
				b.WriteString(line + "\n")
				line = indent
			}
			if line != indent {
				line += " "
			}
			line += word
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// paragraphs joins lines that belong together.
func paragraphs(text string) []string {
	var out []string
	open := false
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		own := line == "" || strings.HasPrefix(line, " ") || strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "|") || strings.HasPrefix(line, "```")
		if open && !own {
			out[len(out)-1] += " " + line
			continue
		}
		out = append(out, line)
		open = line != "" && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "```")
	}
	return out
}

// sentence begins with a capital letter.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	r, n := utf8.DecodeRuneInString(text)
	return strings.ToUpper(string(r)) + text[n:]
}
