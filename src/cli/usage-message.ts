import type { Command, CommanderError } from 'commander'
import { foreignTexts } from '../core/foreign-texts.js'
import { suggestion } from '../core/settings/problems.js'
import { ONE_PROCESS } from '../core/settings/setting-names.js'
import { isSetting } from './options.js'

const texts = foreignTexts.commander

/** commander's messages and our replacements. A replacement is one line and calls a word that begins with dashes a "flag". */
const rewrites: readonly (readonly [RegExp, string])[] = [
  [texts.emptyOption, '$1 needs a value'],
  [texts.wrongOption, '$1 takes $3, not "$2"'],
  [texts.optionWithoutValue, '$1 needs a value: $1 $2'],
  [texts.emptyArgument, '$1 is empty'],
  [texts.wrongArgument, '$2 is $3, not "$1"'],
  [texts.missingArgument, '$1 is missing'],
  [texts.tooManyArguments, 'too many arguments: expected $1, got $2'],
  [texts.beginning, '']
]
/** Problems for which an example is shown, because the reader does not know yet what belongs there. */
const wantsExample: ReadonlySet<RegExp | undefined> = new Set([texts.emptyArgument, texts.missingArgument])

/** The full name of a command, such as `castellan read` or `castellan wal verify`. */
export const nameOf = (line: Command): string => (line.parent ? `${nameOf(line.parent)} ${line.name()}` : line.name())

/** Describes in one line what is wrong with the command line, with a suggestion if there is a similar name. */
export function usageMessage({ code, message }: CommanderError, line: Command, example: string | undefined): string {
  if (code === 'commander.help') return `a command is missing; there are ${commandsOf(line).join(', ')}`
  const [, flag] = message.match(texts.unknownOption) ?? []
  if (flag !== undefined) return unknownFlag(flag, line)
  // `--brokers a:1 create` is a line of the first command, which runs when none is named.
  const siblings = line.parent?.commands ?? []
  const named = siblings[0] === line && siblings.find(command => line.args.includes(command.name()))
  if (code === 'commander.excessArguments' && named) return `a command comes before its flags: ${nameOf(named)} [FLAGS]`
  const [pattern, replacement] = rewrites.find(([candidate]) => candidate.test(message)) ?? []
  const text = pattern === undefined ? message : message.replace(pattern, replacement!)
  return wantsExample.has(pattern) && example !== undefined ? `${text}, for example: ${example}` : text
}

/** Commands of former releases, and what to type instead. */
export const formerCommands: ReadonlyMap<string, string> = new Map([
  [
    'pixy',
    'castellan write TOPIC produces, castellan read TOPIC --follow reads without a group, castellan groups --lag GROUP tells offsets; docs/compatibility/kafka-pixy.md#from-the-command-line has the requests to do the rest with curl'
  ]
])

/** Flags of former builds, and what to do instead. */
export const formerFlags: ReadonlyMap<string, string> = new Map([['--workers', ONE_PROCESS]])

/** For example `unknown command sreve; did you mean serve?; there are serve, read`. */
export function unknownCommand(name: string, parent: Command): string {
  const instead = parent.parent === null ? formerCommands.get(name) : undefined
  if (instead !== undefined) return `unknown command ${name}: ${instead}`
  const names = commandsOf(parent)
  return `unknown command ${name}${suggestion(name, names)}; there are ${names.join(', ')}`
}

const commandsOf = (parent: Command): string[] =>
  parent
    .createHelp()
    .visibleCommands(parent)
    .map(command => command.name())

function unknownFlag(flag: string, line: Command): string {
  const gone = formerFlags.get(flag)
  if (gone !== undefined) return `unknown flag ${flag}: ${gone}`
  const known = line.options.map(({ long }) => long ?? '')
  // The flag in --flag=value exists, but takes no value.
  if (known.includes(flag)) return `${flag} takes no value`
  const [other] = otherWords.find(([own, others]) => others.test(flag) && known.includes(own.split(' ')[0]!)) ?? []
  const meant =
    other === undefined ? (askingKafka(flag, known) ?? flagOfSetting(flag, line)) : `; did you mean ${other}?`
  return `unknown flag ${flag}${meant ?? suggestion(withoutDashes(flag), known.map(withoutDashes), '--')}`
}

const addressesOfGateway = /^(-a|--(gateway|addr(ess)?|url|server))$/

/** Flags, and what former releases and other tools call them. */
const otherWords: readonly (readonly [flag: string, others: RegExp])[] = [
  ['--gateway', addressesOfGateway],
  ['--brokers', /^--(bootstrap(-servers?)?|broker-list)$/],
  ['--replicas', /^--replication(-factor)?$/],
  ['--format json', /^--json$/],
  // For commands where --config is a setting of a topic, `-c` is what other tools call the file.
  ['--castellan-config', /^-c$/]
]

/** The text for a command that connects to Kafka and is given the address of a gateway; `undefined`: this is another case. */
function askingKafka(flag: string, known: readonly string[]): string | undefined {
  if (!addressesOfGateway.test(flag) || !known.includes('--brokers') || known.includes('--port')) return undefined
  return '; this command asks Kafka, by --brokers; a gateway is asked by castellan write and castellan receipt'
}

/** Suggests what to write instead of `--http.port`: the flag that stands for this setting, or `--set`. */
function flagOfSetting(flag: string, { options }: Command): string | undefined {
  const name = withoutDashes(flag)
  if (!name.includes('.') || !options.some(({ long }) => long === '--set')) return undefined
  const own = options.find(option => isSetting(option) && option.path.join('.') === name)
  return own ? `; did you mean ${own.long}?` : `; settings are given as --set ${name}=VALUE`
}

const withoutDashes = (flag: string): string => flag.replace(/^-+/, '')
