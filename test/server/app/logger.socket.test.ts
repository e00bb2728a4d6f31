import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { text as textOf } from 'node:stream/consumers'
import { expect } from 'chai'
import { LOADER, moduleUrl } from '../../support/built.js'

const NAME = 'a\u001b[2J\u009b31m\r\nspoofed: line\u202e'

/** Writes with the logger as processes have it: to a descriptor. */
function write(format: 'text' | 'json', statement: string): string {
  const script = `
    import { createLogger } from '${moduleUrl('server/app/logger')}'
    const NAME = ${JSON.stringify(NAME)}
    const log = createLogger({ level: 'debug', format: '${format}', colors: false, descriptor: 1 })
    ${statement}
  `
  const { stdout, stderr } = spawnSync(process.execPath, [...LOADER, '--input-type=module', '-e', script])
  expect(stderr.toString()).to.equal('')
  return stdout.toString()
}

// Everything a terminal obeys but the line breaks and the indentation of the log itself.
const CONTROL = /[\u007f-\u009f\u202a-\u202e]|(?![\n\t])\p{Cc}/u

describe('the log', () => {
  it('shows names of others without control characters, in messages and fields', () => {
    const text = write('text', "log.warn({ topic: NAME, of: [{ clientId: NAME }] }, 'no topic ' + NAME)")
    expect(text).to.not.match(CONTROL)
    expect(text.trimEnd().split('\n')).to.have.length(1)
    expect(text).to.contain('no topic a\\u001b[2J\\u009b31m\\r\\nspoofed: line\\u202e')
  })

  it('shows errors of brokers in one line of message, and their stack below it', () => {
    const text = write('text', "log.error({ err: new TypeError('said ' + NAME) }, 'failed')")
    expect(text).to.not.match(CONTROL)
    expect(text).to.not.match(/^spoofed/m)
    expect(text).to.match(/^\s+at /m)
  })

  it('is JSON that means the same and can be looked at', () => {
    const text = write('json', "log.warn({ topic: NAME }, 'no topic ' + NAME)")
    expect(text).to.not.match(CONTROL)
    expect(JSON.parse(text)).to.deep.include({ topic: NAME, msg: `no topic ${NAME}` })
  })

  it('shows how far long work is in a line of a terminal that the next one replaces', () => {
    const tell = (left: string) => `log.info({ progress: 'replay' }, 'replay: 1 record; ${left}');`
    const text = write(
      'text',
      `Object.assign(process.stdout, { isTTY: true, columns: 40 }); ${tell('2 left')} ${tell('1 left, and a long while')} log.info({}, 'ready')`
    )
    expect(text.replace(/\d\d:\d\d:\d\d/g, 'T')).to.equal(
      '[T] INFO: replay: 1 record; 2 le\r\u001b[K[T] INFO: replay: 1 record; 1 le\r\u001b[K[T] INFO: ready\n'
    )
    expect(write('text', tell('1 left')).split('\n')[0]).to.match(/replay: 1 record; 1 left$/)
  })

  describe('in a pipe that is not read', () => {
    /** Logs 4 MiB, says so, and logs its last words once it is told to end. */
    const SCRIPT = `
      import { createLogger } from '${moduleUrl('server/app/logger')}'
      import { droppedLogLines } from '${moduleUrl('server/app/log-files')}'
      const log = createLogger({ level: 'debug', format: 'json', colors: false, descriptor: 1 })
      for (let i = 0; i < 4096; i++) log.info({ i, filler: 'x'.repeat(1000) }, 'line')
      process.stderr.write('goes on')
      process.stdin.once('data', () => {
        log.error({}, 'last words')
        process.stderr.write(', dropped ' + droppedLogLines.series({}).value)
        process.exit(3)
      })`
    const start = () => spawn(process.execPath, [...LOADER, '--input-type=module', '-e', SCRIPT])

    it('drops lines and counts them, and goes on', async () => {
      const child = start()
      try {
        await once(child.stderr, 'data')
        const read = textOf(child.stdout)
        const told = textOf(child.stderr)
        child.stdin.write('end')
        const lines = (await read).trimEnd().split('\n')
        const written = lines.map(line => JSON.parse(line) as { i?: number; msg: string; droppedLines?: number })
        const numbers = written.flatMap(({ i }) => i ?? [])
        const dropped = written.reduce((sum, { droppedLines = 0 }) => sum + droppedLines, 0)
        expect(new Set(numbers).size).to.equal(numbers.length)
        expect(numbers.length).to.be.within(900, 1_300)
        expect(numbers.length + dropped).to.equal(4_096)
        expect(written.map(({ msg }) => msg)).to.include('last words')
        // The last one of them was kept, and is written once there is space.
        const counted = Number((await told).replace(', dropped ', ''))
        expect(counted - dropped, 'castellan_log_dropped_lines_total').to.be.within(0, 2)
      } finally {
        child.kill('SIGKILL')
      }
    })

    it('goes on and ends where it is on a full disk, and says so on stderr', async () => {
      const full = openSync('/dev/full', 'w')
      const args = [...LOADER, '--input-type=module', '-e', SCRIPT]
      const child = spawn(process.execPath, args, { stdio: ['pipe', full, 'pipe'] })
      try {
        const told = textOf(child.stderr!)
        child.stdin!.write('end')
        expect(await once(child, 'exit')).to.deep.equal([3, null])
        const [failed, lasts] = (await told).split('\n')
        expect(failed).to.equal('the log cannot be written: ENOSPC: no space left on device, write')
        expect(lasts).to.match(/^goes on, dropped \d+$/)
      } finally {
        closeSync(full)
        child.kill('SIGKILL')
      }
    })

    it('ends although nothing reads its last words', async () => {
      const child = start()
      try {
        await once(child.stderr, 'data')
        child.stdin.write('end')
        expect(await once(child, 'exit')).to.deep.equal([3, null])
      } finally {
        child.kill('SIGKILL')
      }
    })
  })
})
