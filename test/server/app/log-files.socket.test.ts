import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, renameSync, statSync } from 'node:fs'
import { text as textOf } from 'node:stream/consumers'
import { expect } from 'chai'
import fc from 'fast-check'
import { ConfigError } from '../../../src/core/errors.js'
import { silentLogger } from '../../../src/core/model.js'
import { type AccessFields, AccessLines } from '../../../src/http/server/request-log.js'
import type { App } from '../../../src/server/app/app.js'
import { openAccessLog, openLogFile } from '../../../src/server/app/log-files.js'
import { type LogLine, recordingLogger, until } from '../../http/server/stage.js'
import { TestFolder } from '../../support/access.js'
import { LOADER, moduleUrl } from '../../support/built.js'
import { startTestApp } from '../../support/test-app.js'

const fields: AccessFields = {
  requestId: 'id',
  address: '10.0.0.7',
  api: 'kprf',
  method: 'POST',
  route: '/kprf/push',
  status: 200,
  durationMs: 1.23456
}

describe('the access log', () => {
  let folder: TestFolder
  let file: string
  beforeEach(() => {
    folder = new TestFolder()
    file = `${folder.path}/access`
  })
  afterEach(() => folder.remove())

  const lines = (name = file): Record<string, unknown>[] => {
    const text = readFileSync(name, 'utf8').trimEnd()
    return text === '' ? [] : text.split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
  }

  it('has one line of JSON for a request, whatever its id', () => {
    const written = new AccessLines()
    const nowMs = Date.parse('2026-11-20T21:00:00.000Z')
    for (const requestId of ['a1', 'with "quotes"', 'a\nb\u2028', '{}']) {
      const line = written.line(nowMs, { ...fields, requestId })
      expect(line.indexOf('\n')).to.equal(line.length - 1)
      expect(JSON.parse(line)).to.deep.equal({
        ...fields,
        requestId,
        level: 'info',
        msg: 'request',
        time: '2026-11-20T21:00:00.000Z',
        durationMs: 1.235
      })
    }
    const left = written.line(nowMs, { ...fields, route: undefined, status: 'aborted' })
    expect(JSON.parse(left)).to.include({ route: null, status: 'aborted' })
  })

  it('has the text of JSON, whatever the lines before were', () => {
    const request = fc.record({
      requestId: fc.string(),
      address: fc.constantFrom('10.0.0.7', '::1'),
      api: fc.constantFrom('kprf', 'none'),
      method: fc.constantFrom('GET', 'POST'),
      route: fc.constantFrom('/kprf/push', '/say "/:topic', undefined),
      status: fc.constantFrom(200, 404, 'aborted' as const),
      durationMs: fc.oneof(
        fc.nat(3_000),
        fc.double({ min: 0, max: 1e7, noNaN: true }),
        fc.nat(30_000).map(us => us / 1_000)
      )
    })
    const afterMs = fc.constantFrom(0, 0, 1, 7, 999, 1_000, 86_400_000)
    fc.assert(
      fc.property(fc.array(fc.tuple(afterMs, request)), all => {
        const written = new AccessLines()
        let nowMs = Date.parse('2026-11-20T21:00:00.990Z')
        for (const [elapsedMs, { route, durationMs, ...others }] of all) {
          nowMs += elapsedMs
          const time = new Date(nowMs).toISOString()
          const end = {
            route: route ?? null,
            status: others.status,
            durationMs: Math.round(durationMs * 1_000) / 1_000
          }
          const { status: _, ...start } = others
          expect(written.line(nowMs, { ...others, route, durationMs })).to.equal(
            `${JSON.stringify({ level: 'info', time, ...start, ...end, msg: 'request' })}\n`
          )
        }
      })
    )
  })

  it('writes a share of the requests', async () => {
    let drawn = 0
    const log = openAccessLog({ target: file, share: 0.25 }, silentLogger, () => (drawn++ % 100) / 100)!
    for (let i = 0; i < 1_000; i++) if (log.wants()) log.write(fields)
    await log.close()
    expect(lines()).to.have.length(250)
  })

  it('is absent by default', () => {
    expect(openAccessLog({ target: 'off', share: 1 }, silentLogger)).to.equal(undefined)
  })

  it('names the setting when its file cannot be opened', () => {
    const open = (): unknown => openAccessLog({ target: `${folder.path}/no/such`, share: 1 }, silentLogger)
    expect(open).to.throw(ConfigError, /http\.accessLog\.target: cannot write .* \(ENOENT\)/)
  })

  it('ends with the process on a full disk', async () => {
    const code = `
      import { openAccessLog } from '${moduleUrl('server/app/log-files')}'
      const silent = { debug() {}, info() {}, warn() {}, error() {} }
      const log = openAccessLog({ target: '/dev/full', share: 1 }, silent)
      log.write(${JSON.stringify(fields)})
      await log.close()
      console.log('closed')`
    const child = spawn(process.execPath, [...LOADER, '--input-type=module', '-e', code], {
      stdio: ['ignore', 'inherit', 'inherit']
    })
    try {
      expect(await once(child, 'exit')).to.deep.equal([0, null])
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('is not torn by lines of the log in the same pipe', async () => {
    const code = `
      import { createLogger } from '${moduleUrl('server/app/logger')}'
      import { openAccessLog } from '${moduleUrl('server/app/log-files')}'
      const log = createLogger({ level: 'info', format: 'json', colors: false, descriptor: 1 })
      const access = openAccessLog({ target: 'stdout', share: 1 }, log)
      for (let round = 0; round < 200; round++) {
        for (let i = 0; i < 20; i++) access.write(${JSON.stringify(fields)})
        log.info({ filler: 'x'.repeat(round) }, 'line')
        await new Promise(resolve => setTimeout(resolve, 2))
      }
      await access.close()`
    // A shell makes a pipe; Node would make a socket.
    const script = '"$0" "$@" | { sleep 1.5; dd bs=700 status=none; }'
    const child = spawn('sh', ['-c', script, process.execPath, ...LOADER, '--input-type=module', '-e', code])
    try {
      const lines = (await textOf(child.stdout)).trimEnd().split('\n')
      expect(lines.filter(line => !/^\{[^{}]*\}$/.test(line))).to.deep.equal([])
      expect(lines).to.have.length(200 * 21)
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('on stdout, on a full disk, is written once there is space, without another line', async () => {
    const code = `
      import fs from 'node:fs'
      import { openAccessLog } from '${moduleUrl('server/app/log-files')}'
      const write = fs.write
      let refusals = 1
      fs.write = (fd, ...rest) => {
        if (fd !== 1 || refusals-- <= 0) return write(fd, ...rest)
        setImmediate(rest.at(-1), Object.assign(new Error('no room'), { code: 'ENOSPC' }))
      }
      const log = { error: () => undefined, warn: () => undefined }
      openAccessLog({ target: 'stdout', share: 1 }, log).write(${JSON.stringify(fields)})
      process.stdin.resume()`
    const child = spawn(process.execPath, [...LOADER, '--input-type=module', '-e', code])
    try {
      const [line] = await once(child.stdout, 'data')
      expect(String(line)).to.match(/^\{.*\}\n$/)
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('has the last lines of a process that exits without closing it', async () => {
    const code = `
      import { openAccessLog } from '${moduleUrl('server/app/log-files')}'
      const silent = { debug() {}, info() {}, warn() {}, error() {} }
      const log = openAccessLog({ target: ${JSON.stringify(file)}, share: 1 }, silent)
      for (let i = 0; i < 3; i++) log.write(${JSON.stringify(fields)})
      process.exit(0)`
    const child = spawn(process.execPath, [...LOADER, '--input-type=module', '-e', code], { stdio: 'inherit' })
    try {
      expect(await once(child, 'exit')).to.deep.equal([0, null])
      expect(lines()).to.have.length(3)
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('has the lines that came before its file was moved away in that file', async () => {
    const log = openAccessLog({ target: file, share: 1 }, silentLogger)!
    log.write(fields)
    renameSync(file, `${file}.1`)
    log.reopen()
    log.write(fields)
    await log.close()
    await until(() => lines(`${file}.1`).length > 0, 'the line in the old file')
    expect([lines().length, lines(`${file}.1`).length]).to.deep.equal([1, 1])
  })

  describe('in a pipe', () => {
    let reader: number | undefined
    beforeEach(() => execFileSync('mkfifo', [file]))
    afterEach(() => {
      if (reader !== undefined) closeSync(reader)
      reader = undefined
    })
    const read = (): void => {
      reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    }

    it('is refused when nobody reads', () => {
      const open = (): unknown => openAccessLog({ target: file, share: 1 }, silentLogger)
      expect(open).to.throw(ConfigError, /http\.accessLog\.target: cannot write .* \(ENXIO\)/)
    })

    it('ends although its reader has stopped reading, and writes to no file that is opened later', async () => {
      read()
      const told: LogLine[] = []
      const log = openAccessLog({ target: file, share: 1 }, recordingLogger(told))!
      for (let i = 0; i < 10_000; i++) log.write(fields)
      await log.close()
      const others: number[] = []
      const sizes = () => others.map(descriptor => fstatSync(descriptor).size)
      await until(() => {
        // A descriptor that was closed has its number given to the next file.
        others.push(openSync(`${folder.path}/other-${others.length}`, 'w'))
        return told.some(({ message }) => message.includes('cannot be written')) || sizes().some(size => size > 0)
      }, 'the end of the last attempt')
      expect(sizes()).to.deep.equal(others.map(() => 0))
      for (const descriptor of others) closeSync(descriptor)
    })

    it('goes on with another reader once it is opened again', async () => {
      read()
      const told: LogLine[] = []
      const log = openAccessLog({ target: file, share: 1 }, recordingLogger(told))!
      closeSync(reader!)
      for (let i = 0; i < 100; i++) log.write(fields)
      await until(() => told.some(({ message }) => message.includes('cannot be written')), 'the broken pipe')
      read()
      log.reopen()
      log.write({ ...fields, requestId: 'again' })
      await log.close()
      expect(readSync(reader!, Buffer.alloc(1_000))).to.be.above(0)
    })
  })

  describe('of the gateway', () => {
    let app: App
    beforeEach(async () => {
      app = await startTestApp('127.0.0.1:1', {
        'http.accessLog.target': file,
        'apis.kafboy.syncTimeoutMs': '100',
        'advanced.apis.kafboy.routesAsync': '/say "/:topic',
        'apis.arion.durability': 'memory',
        'shutdown.graceMs': '200'
      })
    })
    afterEach(() => app.stop())

    const secrets = ['secret-topic', 'secret-value', 'secret-header', 'secret-query']
    const ask = (path: string, method = 'POST') =>
      fetch(`${app.urls.shared}${path}?q=secret-query`, {
        method,
        headers: { 'x-secret': 'secret-header', cookie: 'secret-header' },
        ...(method === 'POST' && { body: 'v=secret-value' })
      })

    it('tells of every request, of whatever API, and never a value', async () => {
      await ask('/kafboy/async/secret-topic')
      await ask('/kafboy/sync/secret-topic')
      await ask('/kafboy/say%20%22/secret-topic')
      await ask('/kafboy/nowhere/secret-topic/of/mine')
      await ask('/arion/async/secret-topic/secret-key')
      await ask('/arion/health-check', 'GET')
      await ask('/pixy/topics/secret-topic/messages')
      await ask('/pixy/clusters/default/topics//secret-topic/messages')
      await ask('/kprf/push')
      await ask('/nowhere/secret-topic', 'GET')
      // Closing the file has a time limit, which a busy machine may reach.
      await until(() => lines().length >= 11, 'the lines of all requests')
      await app.stop()
      const told = lines().map(({ api, method, route, status }) => [api, method, route, status])
      expect(told).to.have.deep.members([
        ['kafboy', 'POST', '/kafboy/async/:topic', 200],
        ['kafboy', 'POST', '/kafboy/sync/:topic', 503],
        ['kafboy', 'POST', '/kafboy/say "/:topic', 200],
        ['kafboy', 'POST', '/kafboy/*', 404],
        ['arion', 'POST', '/arion/async/:topic/:key', 202],
        ['arion', 'GET', '/arion/health-check', 200],
        ['kafka-pixy', 'POST', '/pixy/topics/:topic/messages', 400],
        ['kafka-pixy', 'POST', null, 301],
        // Where the redirection leads.
        ['kafka-pixy', 'GET', '/pixy/clusters/:cluster/topics/:topic/messages', 400],
        ['kprf', 'POST', '/kprf/push', 415],
        ['none', 'GET', null, 404]
      ])
      expect(lines().every(({ address, requestId }) => address === '127.0.0.1' && requestId !== '')).to.equal(true)
      const text = readFileSync(file, 'utf8')
      for (const secret of secrets) expect(text).not.to.include(secret)
    })

    it('goes on in a new file after the old one was moved away', async () => {
      await ask('/kprf/push')
      renameSync(file, `${file}.1`)
      await app.reload()
      await ask('/kprf/push')
      await until(() => lines().length > 0, 'a line in the new file')
      await until(() => lines().length + lines(`${file}.1`).length >= 2, 'both lines')
      await app.stop()
      expect(lines().length + lines(`${file}.1`).length).to.equal(2)
      expect(lines()).to.have.length.at.least(1)
    })
  })
})

describe('the log in a file on a full disk', () => {
  it('keeps a bounded number of lines', () => {
    const file = openLogFile('/dev/full', 'log.file')
    file.on('error', () => undefined)
    let dropped = 0
    file.on('drop', () => dropped++)
    for (let mebibytes = 0; mebibytes < 10; mebibytes++) file.write('x'.repeat(1024 * 1024))
    expect(dropped).to.equal(2)
  })

  it('writes them once there is space, also after lines were dropped', () => {
    const folder = new TestFolder()
    try {
      const file = openLogFile('/dev/full', 'log.file')
      file.on('error', () => undefined)
      for (let mebibytes = 0; mebibytes < 9; mebibytes++) file.write('x'.repeat(1024 * 1024))
      // Room comes while the file is full of lines.
      Object.assign(file, { fd: openSync(`${folder.path}/log`, 'a') })
      file.write('y'.repeat(1024 * 1024))
      expect(statSync(`${folder.path}/log`).size).to.equal(8 * 1024 * 1024)
    } finally {
      folder.remove()
    }
  })
})
