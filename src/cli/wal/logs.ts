import type { Command } from 'commander'
import type * as operator from '../../producer/log/operator.js'
import type { WalSettings } from '../../producer/log/settings.js'
import type { Process } from '../command.js'
import { configOptions, formatOption, SettingOption, settingsOf } from '../options.js'
import { type RowColumn, writeTable } from '../standard-output.js'

export const logOptions = [
  new SettingOption(
    '--directory <DIR>',
    'directory of the log (default: the directory in the configuration)',
    'wal.directory'
  ),
  ...configOptions
]

export const format = formatOption()

export const BESIDE = 'Changes nothing, and may run while a gateway uses the log.'

/** The flags of all `castellan wal` commands. Each command has some of these flags. */
export interface WalFlags {
  readonly config?: string
  readonly format?: 'table' | 'json'
  readonly topics?: boolean
  readonly all?: boolean
}

/** The functions of the commands. They are loaded when a command runs. */
export const tools = async () => ({
  ...(await import('../../producer/log/operator.js')),
  ...(await import('../../producer/log/inspect.js')),
  ...(await import('../../producer/log/logged-record.js')),
  ...(await import('../../producer/log/outcome-store.js')),
  ...(await import('../../producer/keys/key-journal.js'))
})

export async function walSettingsOf(line: Command, { environment }: Process): Promise<WalSettings> {
  const { loadConfig } = await import('../../server/config/config.js')
  const { config: file } = line.opts<WalFlags>()
  return loadConfig({ role: 'client', file, environment, flags: settingsOf(line) }).wal
}

/** Whether each row of the output names its log. */
export const areNamed = (logs: readonly operator.ExistingLog[]): boolean => logs.length > 1 || logs[0]!.name !== '.'

/** Writes the rows of each log. When there are several logs, the first column names the log. */
export function writeRows<Row extends object>(
  { stdout }: Process,
  format: WalFlags['format'],
  logs: readonly operator.ExistingLog[],
  columns: readonly RowColumn<Row>[],
  rows: readonly (readonly Row[])[]
): void {
  if (!areNamed(logs)) writeTable(stdout, format, columns, rows.flat())
  else {
    const named = rows.flatMap((own, at) => own.map(row => ({ log: logs[at]!.name, ...row })))
    writeTable(stdout, format, ['log', ...columns] as readonly RowColumn<{ log: string } & Row>[], named)
  }
}

/** Splits `default/orders` into cluster and topic. */
export function toPlace(destination: string): { readonly cluster: string; readonly topic: string } {
  const slash = destination.indexOf('/')
  return { cluster: destination.slice(0, slash), topic: destination.slice(slash + 1) }
}
