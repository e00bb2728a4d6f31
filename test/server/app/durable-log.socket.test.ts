import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { openOptions } from '../../../src/client/open-options.js'
import { silentLogger } from '../../../src/core/model.js'
import { whyNotToTake } from '../../../src/producer/log/log-lock.js'
import type { App } from '../../../src/server/app/app.js'
import { freePorts } from '../../runs/real-kafka/ports.js'
import { onBroker } from '../../support/stage.js'

describe('the durable log of the gateway', () => {
  const stage = onBroker(undefined, true)
  let directory: string
  let app: App | undefined
  beforeEach(async () => {
    directory = join(stage.folder(), 'wal')
  })

  it('is in the directory that is configured, and nowhere else', async () => {
    const isThere = existsSync(resolve('castellan-data'))
    app = await stage.app({ 'apis.arion.durability': 'disk', 'wal.directory': directory })
    const answer = await fetch(`${app.urls.shared}/arion/async/orders`, { method: 'POST', body: 'hello' })
    expect(answer.status).to.equal(202)
    expect(readdirSync(directory)).to.include.members(['FORMAT', 'LOCK'])
    expect(existsSync(resolve('castellan-data'))).to.equal(isThere)
  })

  it('belongs to its process: another one is told so before it opens it', async () => {
    const settings = { 'apis.arion.durability': 'disk', 'wal.directory': directory }
    app = await stage.app(settings)
    await fetch(`${app.urls.shared}/arion/async/orders`, { method: 'POST', body: 'hello' })
    expect(await whyNotToTake(directory)).to.match(/^another process uses the durable log in .*wal\.directory/)
  })

  it('says at start that the directory cannot be made, and why', async () => {
    const file = join(directory, '..', 'file')
    writeFileSync(file, '')
    const warnings: string[] = []
    const log = { ...silentLogger, warn: (_: object, text: string) => void warnings.push(text) }
    app = await stage.app({ 'wal.directory': join(file, 'wal') }, log)
    expect(warnings.join()).to.match(/^the durable log cannot use .*not a directory.*; its records are refused/)
  })

  it('says at start that a file system makes no directories, and answers requests', async () => {
    const warnings: string[] = []
    const log = { ...silentLogger, warn: (_: object, text: string) => void warnings.push(text) }
    app = await stage.app({ 'wal.directory': '/proc/castellan/wal' }, log)
    expect(warnings.join()).to.match(/^the durable log cannot use \/proc\/castellan\/wal .*; its records are refused/)
    const answer = await fetch(`${app.urls.shared}/arion/async/orders`, { method: 'POST', body: 'hello' })
    expect(answer.status).to.equal(503)
  })

  it('is a reason not to be ready while it cannot be used and an API keeps records there', async () => {
    const file = join(directory, '..', 'file')
    writeFileSync(file, '')
    const [port] = await freePorts(1)
    const settings = { 'wal.directory': join(file, 'wal'), 'management.port': `${port}` }
    app = await stage.app(settings)
    const { ready, reasons } = await readiness(port!)
    expect(ready).to.equal(false)
    expect(reasons.join()).to.match(/^the durable log cannot use .*not a directory/)
    await app.stop()
    app = await stage.app({ ...settings, 'apis.arion.durability': 'memory' })
    expect(await readiness(port!)).to.deep.equal({ ready: true, reasons: [], warnings: [] })
  })

  it('tells metrics and log that a directory cannot be used, with the setting that names it', async () => {
    const file = join(directory, '..', 'file')
    writeFileSync(file, '')
    const [port] = await freePorts(1)
    const warnings: string[] = []
    const log = { ...silentLogger, warn: (_: object, text: string) => void warnings.push(text) }
    const settings = { 'wal.directory': join(file, 'wal'), 'management.port': `${port}` }
    app = await stage.app(settings, log)
    expect(warnings.join()).to.contain(
      `cannot use ${join(file, 'wal')} (wal.directory): ENOTDIR: not a directory: ${file}`
    )
    expect(await scrape(port!, 'castellan_wal_writable')).to.equal(0)
    for (const mode of ['async', 'sync']) {
      const answer = await fetch(`${app.urls.shared}/arion/${mode}/orders`, { method: 'POST', body: 'hello' })
      expect(answer.status).to.equal(503)
    }
    expect(await scrape(port!, 'castellan_durable_refused_records_total')).to.equal(2)
    rmSync(file)
    await until(async () => (await scrape(port!, 'castellan_wal_writable')) === 1)
    await until(async () => {
      const answer = await fetch(`${app!.urls.shared}/arion/async/orders`, { method: 'POST', body: 'hello' })
      return answer.status === 202
    })
    expect(await scrape(port!, 'castellan_wal_writable')).to.equal(1)
  })

  it('has no complaint about a directory that does not exist yet, however long its path', async () => {
    expect(await whyNotToTake(directory)).to.equal(undefined)
    expect(await whyNotToTake(join(directory, 'x'.repeat(200), 'wal'))).to.equal(undefined)
  })
})

/** Once it is known whether a broker answers. */
async function readiness(port: number): Promise<{ ready: boolean; reasons: string[] }> {
  for (;;) {
    // A connection that is kept would end with the first gateway, and the next request with it.
    const answer = await fetch(`http://127.0.0.1:${port}/ready`, { headers: { connection: 'close' } })
    const found = (await answer.json()) as { ready: boolean; reasons: string[] }
    if (!found.reasons.some(reason => reason.startsWith('no broker'))) return found
    await new Promise(setImmediate)
  }
}

describe('openCastellan', () => {
  it('has no durable log unless it is told to', () => {
    expect(openOptions.parse({ brokers: ['127.0.0.1:9092'] }).wal).to.equal(undefined)
    expect(openOptions.parse({ brokers: ['127.0.0.1:9092'], wal: {} }).wal).to.include({ fsyncPuts: true })
  })
})

async function scrape(port: number, metric: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { connection: 'close' } })
  return Number(new RegExp(`^${metric} (\\d+)$`, 'm').exec(await answer.text())?.[1])
}

/** Asks again until it is true; the test's own time limit ends it. */
async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise(resolve => setTimeout(resolve, 50))
}
