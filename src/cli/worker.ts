import { setTimeout as sleep } from 'node:timers/promises'
import { takeSnapshot } from '../core/metrics/aggregate.js'
import { isLocked } from '../producer/log/directory-lock.js'
import type { App } from '../server/app/app.js'
import { createLogger } from '../server/app/logger.js'
import { startApp } from '../server/app/start-app.js'
import type { WorkerOrder } from '../server/app/worker-order.js'
import { CollectedStatsd } from '../server/workers/collected-statsd.js'
import { type Handlers, Link } from '../server/workers/link.js'
import type { ParentServes, WorkerFarewell, WorkerGreeting, WorkerServes } from '../server/workers/messages.js'
import { Peers } from '../server/workers/peers.js'
import { EXIT_FAILURE, EXIT_OK } from './command.js'
import { toReloadError } from './hang-up.js'
import { version } from './version.js'

/** What is served before the worker is started, and by its {@link Peers}. */
type ServedElsewhere = 'start' | 'exit' | 'peer' | 'others' | 'gone'

/** What a worker counts is told so often that little of it is lost with the process. */
const COUNTED_EVERY_MS = 5_000
const REPORT_EVERY_MS = 250
const LOCK_LOOK_MS = 50

// The process that has started this one decides when it stops, however many of them a signal reaches.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.stdout.on('error', () => undefined)
process.stderr.on('error', () => undefined)

const crashed = new Promise<unknown>(resolve => process.on('uncaughtException', resolve))
const link = new Link<WorkerServes, ParentServes>(frame => process.send?.(frame, undefined, undefined, () => undefined))
let exitCode = EXIT_OK
process.on('message', message => link.receive(message))
link.serve('start', order => start(order as WorkerOrder))
link.serve('exit', () => process.exit(exitCode))
link.tell('hello')

async function start({ config, place, log: style, drainMs, umask }: WorkerOrder): Promise<WorkerGreeting> {
  process.umask(umask)
  const { number, count } = place
  const peers = new Peers(link, number, count)
  const statsd = new CollectedStatsd()
  const log = createLogger({ ...config.log, ...style, descriptor: 1, fields: { worker: number } })
  await untilFree(config.wal.directory, config.shutdown.graceMs)
  const app = await startApp(config, { log, version: version(), drainMs, worker: { ...place, peers, statsd } })
  const stop = (isBroken: boolean): Promise<WorkerFarewell> => app.stop({ isBroken })
  const served: Handlers<WorkerServes, ServedElsewhere> = {
    stop: async () => {
      const { lostRecords } = await stop(false)
      exitCode = lostRecords > 0 ? EXIT_FAILURE : EXIT_OK
      return { lostRecords }
    },
    reload: next => {
      log.reopen()
      if (next === undefined) app.reopenLogs()
      else void app.reload(next as WorkerOrder['config']).catch((error: unknown) => log.error(...toReloadError(error)))
    },
    metrics: () => takeSnapshot(app.metrics.registry),
    statsd: () => statsd.values()
  }
  link.serveAll(served)
  const report = tellStatus(app)
  void Promise.race([app.crashed, crashed]).then(async error => {
    log.error({ err: error }, 'something has broken that only a new process can mend')
    await stop(true)
    report()
    process.exit(EXIT_FAILURE)
  })
  process.on('disconnect', () => {
    log.error({}, 'the process that has started this worker is gone')
    // No further connection comes, and the process that takes its place needs the directory of the log.
    void stop(true).then(() => process.exit(EXIT_FAILURE))
  })
  return { urls: app.urls }
}

/** After its parent was killed, a worker of before may still be writing what it held; it is waited for. */
async function untilFree(directory: string, timeoutMs: number): Promise<void> {
  const endsAt = performance.now() + timeoutMs
  while (performance.now() < endsAt && (await isLocked(directory))) await sleep(LOCK_LOOK_MS)
}

/** @returns tells it once more, now */
function tellStatus(app: App): () => void {
  const report = (): void => {
    const { waiting: waitingRecords, lost: lostRecords } = app.memoryRecords()
    link.tell('report', { unreadyReasons: app.unreadyReasons(), warnings: app.warnings(), waitingRecords, lostRecords })
  }
  report()
  setInterval(report, REPORT_EVERY_MS).unref()
  setInterval(() => {
    void takeSnapshot(app.metrics.registry).then(snapshot => link.tell('counted', snapshot))
  }, COUNTED_EVERY_MS).unref()
  return report
}
