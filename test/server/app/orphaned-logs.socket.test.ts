import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import { NodeDirectory } from '../../../src/producer/log/node-files.js'
import { openDurableLog } from '../../../src/producer/log/open-durable-log.js'
import { setAside } from '../../../src/producer/log/quarantine.js'
import { recover } from '../../../src/producer/log/recovery.js'
import { walSettings } from '../../../src/producer/log/settings.js'
import { OrphanedLogs } from '../../../src/server/app/durable-logs.js'
import { logWorker } from '../../support/built.js'

describe('an orphaned durable log', () => {
  let parent: string
  beforeEach(() => (parent = mkdtempSync(join(tmpdir(), 'castellan-orphaned-'))))
  afterEach(() => rmSync(parent, { recursive: true, force: true }))

  it('stays open while records in it are set aside, and warns of them', async () => {
    const directory = join(parent, 'worker-2')
    const settings = walSettings.parse({ directory })
    const onBroken = (): void => undefined
    const opened = await openDurableLog(settings, { log: silentLogger, now: Date.now, onBroken, worker: logWorker })
    const record = { key: null, value: Buffer.from('one'), headers: [], timestampMs: 0 }
    await new Promise(stored => opened.log.append([{ destination: 'default/orders', record }], stored))
    await opened.close()
    const place = new NodeDirectory(directory)
    setAside(place, recover(place).segments[0]!)
    const clock = (): number => performance.now()
    const deps = { settings, log: silentLogger, metrics: defaultLogger, now: Date.now, clock, worker: logWorker }
    const orphaned = new OrphanedLogs([directory], { ...deps, receipts: undefined })
    orphaned.drain()
    const [{ backlog }] = orphaned.all as [(typeof orphaned.all)[0]]
    await backlog.open()
    for (let looks = 0; looks < 5; looks++) {
      expect(await backlog.log!.look()).to.include({ openEntries: 0, setAsideEntries: 1 })
      await new Promise(setImmediate)
    }
    expect(backlog.warnings[0]?.text).to.contain('1 records of the durable log are set aside')
    await orphaned.close(0)
  })
})
