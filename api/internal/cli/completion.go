package cli

import (
	"fmt"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" help:"bash or zsh." enum:"bash,zsh"`
}

// Run prints the script; load it with: source <(api completion bash).
func (cmd *completionCmd) Run(e *env) error {
	script := bashScript(e.model.Node)
	if cmd.Shell == "zsh" {
		script = "autoload -U +X bashcompinit && bashcompinit\n" + script
	}
	_, err := fmt.Fprint(e.out, script)
	return err
}

// bashScript completes commands and flags from a table of the words that may follow each path of commands.
func bashScript(root *kong.Node) string {
	var table strings.Builder
	words(root, "", &table)
	return `_api_words() {
  case "$1" in
` + table.String() + `  esac
}
_api() {
  local cur path word i
  cur="${COMP_WORDS[COMP_CWORD]}"
  path=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    [[ "$word" == -* ]] && continue
    [[ -n "$(_api_words "$path $word")" ]] && path="$path $word"
  done
  COMPREPLY=($(compgen -W "$(_api_words "$path")" -- "$cur"))
  [[ ${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- "$cur"))
}
complete -o filenames -F _api api
`
}

func words(n *kong.Node, path string, table *strings.Builder) {
	var list []string
	for _, child := range n.Children {
		list = append(list, child.Name)
		words(child, path+" "+child.Name, table)
	}
	for _, flags := range n.AllFlags(true) {
		for _, f := range flags {
			list = append(list, "--"+f.Name)
		}
	}
	for _, p := range n.Positional {
		if p.Enum != "" {
			list = append(list, strings.Split(p.Enum, ",")...)
		}
	}
	sort.Strings(list)
	fmt.Fprintf(table, "    %q) echo %q ;;\n", path, strings.Join(list, " "))
}
