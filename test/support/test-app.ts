import { type Logger, silentLogger } from '../../src/core/model.js'
import { ThreadCodecs } from '../../src/schemas/thread-codec-host.js'
import { type App, type AppDeps, startApp } from '../../src/server/app/app.js'
import { loadConfig } from '../../src/server/config/config.js'
import { codecWorker, logWorker } from './built.js'
import { CodecsInPlace } from './codecs-in-place.js'
import { isDecided } from './running-test.js'
import { walDirectoryOf } from './wal-directory.js'

// Tests that are not about time run on busy machines, too: there kprf gives up too soon, and a late event loop refuses requests.
const patient = { 'apis.kprf.messageTimeoutMs': '30000', 'advanced.http.maxEventLoopDelayMs': '0' }

/** The whole gateway in this process, on free ports. `settings`: dotted path of a setting => its value as text. */
export function startTestApp(
  bootstrap: string,
  settings: Readonly<Record<string, string>> = {},
  log: Logger = silentLogger,
  deps: Pick<AppDeps, 'drainMs'> = {}
): Promise<App> {
  const all = {
    'clusters.default.brokers': bootstrap,
    'http.port': '0',
    'management.port': '0',
    'wal.directory': walDirectoryOf('apps'),
    ...patient,
    ...settings
  }
  const flags = Object.entries(all).map(([path, value]) => ({ flag: `--${path}`, path: path.split('.'), value }))
  const codecs = isDecided() ? new CodecsInPlace() : new ThreadCodecs({ worker: codecWorker })
  return startApp(loadConfig({ flags }), { log, version: '0.0.0-test', logWorker, codecs, ...deps })
}

/** What `/metrics` says: the sum over all labels that begin with these; 0 where there is no such line. */
export async function metricOf(management: string | undefined, name: string): Promise<number> {
  const text = await (await fetch(`${management}/metrics`)).text()
  const lines = text
    .split('\n')
    .filter(line => line.startsWith(`${name} `) || line.startsWith(`${name}{`) || line.startsWith(`${name},`))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}
