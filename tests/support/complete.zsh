# What zsh offers: zsh -f complete.zsh FOLDER LINE
#
# A second zsh on a terminal of its own loads the completions of FOLDER, is typed the line and Tab, and says each candidate that it
# adds; they are printed one a line. Marks are written in two halves, so that the echo of what is typed has none.
zmodload zsh/zpty
zpty inner zsh -f -i

read_until() {
    local part
    REPLY=
    while zpty -r inner part; do
        REPLY+=$part
        [[ $REPLY == *$1* ]] && return
    done
    exit 1
}

type() { zpty -w inner "$1" }

type "PS1= PS2= RPS1= LISTMAX=10000; unsetopt beep; fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -D"
# Calls that only sort candidates into arrays (-O, -A, -D) are no offers. The others are said, and made: completers ask what came of it.
type 'compadd() {
    local -a hits
    if [[ " ${(j: :)@[1,(i)(-|--)]}" != *\ -(O|A|D)\ * ]]; then
        builtin compadd -A hits "$@"
        print -rl -- ${hits/#/OFF""ERED:}
    fi
    builtin compadd "$@"
}'
type 'offer() { zle complete; print DO""NE; exit 0 }; zle -C complete complete-word _main_complete; zle -N offer; bindkey "^I" offer; print REA""DY'
read_until READY
zpty -w -n inner "$2"$'\t'
read_until DONE
print -r -- $REPLY | sed -n 's/.*OFFERED:\([^[:cntrl:]]*\).*/\1/p' | sort -u
