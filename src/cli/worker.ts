import { pause } from '../core/ending.js'
import { isLocked } from '../core/files/directory-lock.js'
import { takeSnapshot } from '../core/metrics/prometheus.js'
import { collectedStatsd } from '../deployment/workers/gathered-metrics.js'
import { type Handlers, Link } from '../deployment/workers/link.js'
import type { ParentServes, WorkerGreeting, WorkerServes } from '../deployment/workers/messages.js'
import { WorkerPeers } from '../deployment/workers/worker-peers.js'
import type { App } from '../server/app/app.js'
import { holdYoungGeneration } from '../server/app/heap-growth.js'
import { type AppLogger, createLogger } from '../server/app/logger.js'
import type { WorkerConfig } from '../server/app/worker-config.js'
import { EXIT_FAILURE, EXIT_OK } from './command.js'
import { toReloadError } from './hang-up.js'
import { version } from './version.js'

/** Messages that are handled elsewhere: before the worker starts, or by its {@link WorkerPeers}. */
type ServedElsewhere = 'start' | 'exit' | 'peer' | 'gone'

/** Interval at which a worker reports its counters. If it dies, later counts are lost. */
const COUNTED_EVERY_MS = 5_000
const REPORT_EVERY_MS = 250
const LOCK_LOOK_MS = 50

// The parent decides when this process stops, even when both processes get the signal.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.stdout.on('error', () => undefined)
process.stderr.on('error', () => undefined)

holdYoungGeneration()
const crashed = new Promise<unknown>(resolve => process.on('uncaughtException', resolve))
const link = new Link<WorkerServes, ParentServes>(frame => process.send?.(frame, undefined, undefined, () => undefined))
let exitCode = EXIT_OK
process.on('message', message => link.receive(message))
link.serve('start', config => start(config as WorkerConfig))
link.serve('exit', () => process.exit(exitCode))
link.tell('hello')

async function start({ config, place, log: style, drainMs, umask }: WorkerConfig): Promise<WorkerGreeting> {
  process.umask(umask)
  const { number, count } = place
  const peers = new WorkerPeers(link, number, count)
  const statsd = collectedStatsd()
  const log = createLogger({ ...config.log, ...style, descriptor: 1, fields: { worker: number } })
  await untilFree(config.wal.directory, config.shutdown.graceMs)
  const { startApp } = await import('../server/app/app.js')
  const app = await startApp(config, { log, version: version(), drainMs, worker: { ...place, peers, statsd } })
  link.serveAll({ ...handlersOf(app, log), statsd: () => statsd.values() })
  const report = tellStatus(app)
  void Promise.race([app.crashed, crashed]).then(async error => {
    log.error({ err: error }, 'this process cannot recover from an error, and ends')
    await app.stop({ isBroken: true })
    report()
    process.exit(EXIT_FAILURE)
  })
  process.on('disconnect', () => {
    log.error({}, 'the parent process of this worker has ended')
    // Without the parent no connections arrive, and the next process needs the directory of the log.
    void app.stop({ isBroken: true }).then(() => process.exit(EXIT_FAILURE))
  })
  return { urls: app.urls }
}

/** Calls that the parent may make to the app. */
const handlersOf = (app: App, log: AppLogger): Handlers<WorkerServes, ServedElsewhere | 'statsd'> => ({
  stop: async () => {
    const { lostRecords } = await app.stop()
    exitCode = lostRecords > 0 ? EXIT_FAILURE : EXIT_OK
    return { lostRecords }
  },
  reload: next => {
    log.reopen()
    if (next === undefined) app.reopenLogs()
    else void app.reload(next as WorkerConfig['config']).catch((error: unknown) => log.error(...toReloadError(error)))
  },
  metrics: () => takeSnapshot(app.metrics.registry),
  status: () => app.status(),
  findRecord: ({ question, principal }) => app.findRecord(question, principal)
})

/** Waits until the directory is free. An earlier worker whose parent was killed may still write its records. */
async function untilFree(directory: string, timeoutMs: number): Promise<void> {
  const endsAt = performance.now() + timeoutMs
  while (performance.now() < endsAt && (await isLocked(directory))) await pause(LOCK_LOOK_MS)
}

/** Reports the status at intervals. Returns a function that reports it at once. */
function tellStatus(app: App): () => void {
  const report = (): void => {
    const { waiting: waitingRecords, lost: lostRecords } = app.memoryRecords()
    const [unreadyReasons, kafkaReasons] = [app.readiness.unreadyReasons(), app.readiness.kafkaReasons()]
    const warnings = app.readiness.warnings()
    link.tell('report', { unreadyReasons, kafkaReasons, warnings, waitingRecords, lostRecords })
  }
  report()
  setInterval(report, REPORT_EVERY_MS).unref()
  setInterval(() => {
    void takeSnapshot(app.metrics.registry).then(snapshot => link.tell('counted', snapshot))
  }, COUNTED_EVERY_MS).unref()
  return report
}
