import { answerParent } from './child.js'
import { loadCastellan } from './in-process.js'
import { LongestTick } from './longest-tick.js'

type App = import('../../../src/server/app/app.js').App

export interface StatusReady {
  readonly url: string
  readonly management: string
}

/** What the process has used since `begin`. */
export interface StatusUse {
  readonly cpuMs: number
  readonly longestTickMs: number
}

let app: App
let ticks: LongestTick
let usage: NodeJS.CpuUsage

/** The whole gateway in this process, which measures itself. */
async function start({ bootstrap, directory }: { bootstrap: string; directory: string }): Promise<StatusReady> {
  const { startApp, loadConfig, silentLogger } = await loadCastellan()
  const settings = {
    'clusters.default.brokers': bootstrap,
    'wal.directory': directory,
    'http.port': '0',
    'management.port': '0',
    'shutdown.drainMs': '0',
    // Nothing is given up while the broker stands still: the work of that would hide what a look costs.
    'delivery.timeoutMs': '300000',
    'advanced.router.requestTimeoutMs': '300000',
    'advanced.router.callTimeoutMs': '300000',
    'clusters.default.requestTimeoutMs': '300000',
    'advanced.http.maxEventLoopDelayMs': '0'
  }
  const flags = Object.entries(settings).map(([path, value]) => ({ flag: `--${path}`, path: path.split('.'), value }))
  app = await startApp(loadConfig({ flags, environment: {} }), { log: silentLogger, version: 'bench' })
  return { url: app.urls.shared, management: app.urls.management! }
}

function begin(): void {
  usage = process.cpuUsage()
  ticks = new LongestTick()
}

function end(): StatusUse {
  const longestTickMs = ticks.stop()
  const { user, system } = process.cpuUsage(usage)
  return { cpuMs: (user + system) / 1000, longestTickMs }
}

answerParent({ start, begin, end })
