import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { apis } from '../apis/apis.js'
import type { ApiCommand } from '../apis/command.js'
import { ConfigError } from '../core/errors.js'
import { unixSocketsOf } from '../server/app/apis.js'
import { startApp } from '../server/app/app.js'
import { createLogger } from '../server/app/logger.js'
import {
  type Config,
  explainConfig,
  type FlagSetting,
  type TranslatedConfig,
  translateConfig
} from '../server/config/config.js'
import { toYaml } from '../server/config/print.js'
import { readText } from '../server/config/read-text.js'
import { workerCountOf } from '../server/workers/settings.js'
import { EXIT_FAILURE, EXIT_OK, type Process } from './command.js'
import { type ConfigSource, reloadAtHangUp } from './hang-up.js'
import { settingsOf } from './options.js'
import { usesColors } from './standard-output.js'
import { claimSocketPath } from './unix-socket.js'
import { untilEnd } from './until-end.js'
import { version } from './version.js'

/**
 * Load balancers ask `/ready` every few seconds. On a terminal there is no load balancer, so the default is 0 there.
 */
const DRAIN_MS = 5_000

interface ServeFlags {
  readonly config?: string
  readonly debug?: boolean
  readonly printConfig?: boolean
  /** Instead of `config`, in commands that have a `--config` of the imitated system. */
  readonly castellanConfig?: string
}

/** Runs the gateway until it is stopped, or prints its configuration. */
export async function serve(line: Command, process: Process): Promise<number> {
  const { config: file, printConfig } = line.opts<ServeFlags>()
  const sources = { file, environment: process.environment, flags: settingFlags(line) }
  const { config, originOf } = explainConfig(sources)
  if (printConfig) {
    process.stdout.write(toYaml(config, originOf))
    return EXIT_OK
  }
  return runGateway({ config, read: () => explainConfig(sources).config }, process)
}

/** The same with the configuration of an imitated system. */
export async function serveAs(command: ApiCommand, line: Command, process: Process): Promise<number> {
  const { environment, stdout } = process
  const { castellanConfig: file, printConfig } = line.opts<ServeFlags>()
  const sources = { file, environment, flags: settingFlags(line) }
  const read = async (): Promise<TranslatedConfig> => {
    const flags = ownFlags(command, line)
    const translation = await command.translate({ flags, environment, readFile: name => readText(name) })
    return translateConfig(sources, translation, command.name)
  }
  const { config, originOf, notes } = await read()
  if (!printConfig) return runGateway({ config, read: async () => (await read()).config }, process, notes)
  stdout.write(toYaml(config, originOf))
  return EXIT_OK
}

/** The flags of the imitated system that were given. */
function ownFlags({ flags }: ApiCommand, line: Command): ReadonlyMap<string, string | true> {
  const names = new Set(flags.map(({ flags: text }) => new Option(text).name()))
  const given = line.options.filter(
    option => names.has(option.name()) && line.getOptionValueSource(option.attributeName()) === 'cli'
  )
  return new Map(given.map(option => [option.name(), line.getOptionValue(option.attributeName()) as string | true]))
}

/** Another user may have put a link there, to have a file of ours overwritten. */
const TO_REPLACE = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | (constants.O_NOFOLLOW ?? 0)

/** @throws ConfigError when it cannot be written */
function writePidFile(file: string | undefined): void {
  if (file === undefined) return
  try {
    const descriptor = openSync(file, TO_REPLACE, 0o644)
    try {
      writeSync(descriptor, String(globalThis.process.pid))
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    throw new ConfigError(`service.pidFile: cannot write ${file} (${(error as NodeJS.ErrnoException).code})`)
  }
}

function settingFlags(line: Command): FlagSetting[] {
  const flags = settingsOf(line)
  if (line.opts<ServeFlags>().debug) flags.unshift({ flag: '--debug', path: ['log', 'level'], value: 'debug' })
  return flags
}

async function runGateway(source: ConfigSource, process: Process, notes: readonly string[] = []): Promise<number> {
  const { config } = source
  const { stopped, crashed, onHangUp, stdout } = process
  const style = prettiness(config, process)
  const drainMs = stdout.isTTY ? 0 : DRAIN_MS
  const log = createLogger({ ...config.log, ...style, descriptor: 1 })
  for (const note of notes) log.warn({}, note)
  for (const { path, setting } of unixSocketsOf(apis, config)) await claimSocketPath(path, setting)
  // Behind what fails where another process runs already, whose file it is.
  writePidFile(config.service.pidFile)
  if (workerCountOf(config.workers) > 1) {
    const { serveWithWorkers } = await import('./serve-workers.js')
    return serveWithWorkers(source, process, log, { style, drainMs })
  }
  const starting = startApp(config, { log, version: version(), drainMs })
  reloadAtHangUp(onHangUp, starting, log, source)
  const app = await starting
  const code = await untilEnd(Promise.race([app.crashed, crashed]), stopped, log)
  const { lostRecords } = await app.stop({ isBroken: code !== EXIT_OK })
  return lostRecords > 0 ? EXIT_FAILURE : code
}

function prettiness({ log }: Config, { stdout, environment }: Process): { pretty: boolean; colors: boolean } {
  const pretty = log.pretty === 'always' || (log.pretty === 'auto' && log.file === undefined && stdout.isTTY)
  return { pretty, colors: usesColors(stdout, environment) }
}
