import { readFileSync } from 'node:fs'
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import { isLegalTopicName } from '../core/model.js'
import { messageOf } from '../core/node-errors.js'
import { parseUrl } from '../core/parse-url.js'
import type { FlagSetting } from '../server/config/config.js'
import { UsageError } from './command.js'

export class SettingOption extends Option {
  readonly path: readonly string[]

  /**
   * @param flags as commander writes them: `-p, --port <PORT>`
   * @param setting the name of the setting: `http.port`
   */
  constructor(flags: string, description: string, setting: string) {
    super(flags, description)
    this.path = setting.split('.')
    if (this.required) this.argParser(notEmpty)
  }
}

export const settingOptions = (options: Readonly<Record<string, readonly [setting: string, description: string]>>) =>
  Object.entries(options).map(([flags, [setting, description]]) => new SettingOption(flags, description, setting))

export const isSetting = (option: Option): option is SettingOption => option instanceof SettingOption

/** Flags that name sources of the configuration. */
export const configOptions: readonly Option[] = [
  new Option('-c, --config <FILE>', 'YAML file with settings; see examples/castellan.yaml').argParser(notEmpty),
  new Option(
    '--set <NAME=VALUE>',
    'any setting of docs/configuration.md, e.g. delivery.timeoutMs=60000; repeatable'
  ).argParser((text, former: readonly FlagSetting[] = []) => [...former, toSetting(text)]),
  new Option('--debug', 'log everything, and show stacks of errors')
]

/** The flag for Castellan's own file in commands whose `--config` is another system's. */
export const castellanConfigOption = new Option(
  '--castellan-config <FILE>',
  'YAML file with settings; see examples/castellan.yaml'
).argParser(notEmpty)

/** @param row what a line of JSON stands for */
export const formatOption = (row = 'row'): Option =>
  new Option('--format <FORMAT>', `table (default), or json with one line per ${row}`).choices(['table', 'json'])

/** Flags of commands that connect to a running cluster. */
export const clientOptions: readonly Option[] = [
  new SettingOption(
    '-b, --brokers <HOST:PORT,…>',
    'bootstrap brokers (default: the brokers in the configuration, else 127.0.0.1:9092)',
    'clusters.default.brokers'
  ),
  new Option('--cluster <NAME>', 'one of the clusters of the configuration (default: default)').argParser(notEmpty),
  new Option('--timeout <SECONDS>', 'time limit for an answer of the brokers (default 10)').argParser(wholeNumber(1)),
  ...configOptions
]

/** Flags of commands that ask a gateway. */
export const gatewayOptions = (description: string): readonly Option[] => [
  new Option('--gateway <URL>', description).argParser(httpUrl),
  new Option('--token-file <FILE>', 'file with the bearer token for the gateway').argParser(notEmpty)
]

/**
 * @param file the value of `--token-file`
 * @throws UsageError when it cannot be read
 */
export function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new UsageError(`--token-file: ${messageOf(error)}`)
  }
}

/**
 * Every flag of a command line that stands for a setting, and every `--set`, in the form that the configuration reads.
 */
export function settingsOf(line: Command): FlagSetting[] {
  const direct = line.options
    .filter(isSetting)
    .filter(option => line.getOptionValueSource(option.attributeName()) === 'cli')
    .map(option => ({ flag: option.long!, path: option.path, value: line.getOptionValue(option.attributeName()) }))
  const { set = [] } = line.opts<{ set?: readonly FlagSetting[] }>()
  return [...direct, ...set]
}

function toSetting(text: string): FlagSetting {
  const [, key, value] = text.match(/^([^=]+)=(.*)$/s) ?? []
  // The message repeats only the name. The text after the name may be a secret that was not separated by "=".
  const name = text.match(/^[\w.-]*/)?.[0] ?? ''
  if (key === undefined)
    throw new UsageError(`--set takes NAME=VALUE, for example --set http.port=9000; "${name}" has no value`)
  return { flag: `--set ${key}`, path: key.split('.'), value: value! }
}

export function notEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('a value')
  return text
}

/** @throws InvalidArgumentError for a name that Kafka refuses */
export function legalTopic(text: string): string {
  if (isLegalTopicName(notEmpty(text))) return text
  throw new InvalidArgumentError('1 to 249 of the characters a-z, A-Z, 0-9, ".", "_" and "-"')
}

/** Adds `cleanup.policy=compact` to the settings of a topic. */
export function settingOfTopic(text: string, former: ReadonlyMap<string, string> = new Map()): typeof former {
  const [, name, value] = text.match(/^([\w.]+)=(.*)$/s) ?? []
  if (name !== undefined) return new Map([...former, [name, value!]])
  throw new InvalidArgumentError('NAME=VALUE, such as cleanup.policy=compact (a YAML file: --castellan-config)')
}

export const topicArgument = new Argument('<TOPIC>').argParser(legalTopic)

function httpUrl(text: string): string {
  if (/^https?:\/\//.test(text) && parseUrl(text) !== undefined) return text
  throw new InvalidArgumentError('a URL such as http://127.0.0.1:8080')
}

export function wholeNumber(minimum: number, maximum = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return text => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value
    const upTo = maximum === Number.MAX_SAFE_INTEGER ? '' : ` and at most ${maximum}`
    throw new InvalidArgumentError(`a whole number of at least ${minimum}${upTo}`)
  }
}
