import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children } from './child.js'

/** kprf's own file against the command that takes kprf's place. */
describe('castellan kprf', function () {
  this.timeout(120_000)
  const children = new Children()
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-kprf-'))
  })
  afterEach(async () => {
    await children.stopAll()
    rmSync(folder, { recursive: true, force: true })
  })

  const push = (url: string, records: object[], wait_for_send = true) =>
    fetch(`${url}/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records, wait_for_send })
    })
  const linesOf = (file: string): Record<string, unknown>[] =>
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) await sleep(20)
  }

  it('serves /push and /metrics on the ports of the file, and logs to its output_file, which SIGHUP opens again', async () => {
    const log = join(folder, 'kprf.log')
    const config = join(folder, 'config.yaml')
    writeFileSync(
      config,
      `kafka: { brokers: ['127.0.0.1:9092'], message_timeout_ms: 30000 }\nhttp: { port: 0, metrics_port: 0 }\noutput_file: "${log}"\n` +
        'ratelimit: { enabled: true, rules: [{ topic_name: slow, max_requests_per_minute: 2 }] }\n'
    )
    const flags = ['--embedded', '--embedded-port', '0', '--management-port', 'off']
    const child = children.start(['kprf', '--config', config, ...flags])
    const urlOf = (label: string): string | undefined =>
      linesOf(log)
        .map(({ msg, url }) => (String(msg).startsWith(label) ? String(url) : undefined))
        .find(url => url !== undefined)
    await until(() => child.isRunning === false || (existsWithLines(log) && urlOf('kprf metrics') !== undefined))
    const [url, metrics] = [urlOf('kprf API')!, urlOf('kprf metrics')!]
    expect(url).to.match(/^http:\/\/127\.0\.0\.1:\d+$/)

    expect(await (await push(url, [{ topic: 'orders', data: 'hello' }])).text()).to.equal('{"status":"ok","errors":[]}')
    const limited = await push(
      url,
      [1, 2, 3].map(data => ({ topic: 'slow', data: String(data) }))
    )
    expect(limited.status).to.equal(500)
    expect(
      ((await limited.json()) as { errors: { message: string }[] }).errors.map(({ message }) => message)
    ).to.deep.equal([null, null, 'ratelimit'])
    for (const method of ['GET', 'POST', 'DELETE']) {
      const answer = await fetch(`${metrics}/metrics`, { method })
      expect([answer.status, answer.headers.get('content-type')]).to.deep.equal([200, 'text/plain; charset=utf-8'])
      const text = await answer.text()
      expect(text).to.include('kafka_sent_messages{topic="orders"} 1')
      expect(text).to.include('ratelimit_messages_count{topic="slow"} 1')
      expect(text).not.to.include('castellan_')
    }
    expect((await fetch(`${metrics}/metrics/`)).status).to.equal(200)
    for (const path of ['/', '/push', '/metricsx', '/health-check']) {
      const answer = await fetch(metrics + path, { method: 'POST' })
      expect([path, answer.status, await answer.text()]).to.deep.equal([path, 404, ''])
    }
    expect((await fetch(`${url}/metrics`)).status).to.equal(404)

    const [first] = linesOf(log)
    expect(first).to.include.keys('msg', 'level', 'ts', 'service')
    expect(first).to.include({ service: 'kprf' })
    expect(linesOf(log).map(({ level }) => level)).to.include.members(['INFO', 'WARN'])

    renameSync(log, `${log}.1`)
    child.process.kill('SIGHUP')
    await until(() => existsWithLines(log))
    expect(linesOf(log)[0]!.msg).to.match(/^SIGHUP/)
    expect(await child.stop()).to.equal(0)
    expect(linesOf(log).at(-1)!.msg).to.equal('stopped')
    expect(child.stderr).to.equal('')
    expect(child.lines).to.deep.equal([])
  })

  it('says in one line why it does not start', async () => {
    const child = children.start(['kprf', '--config', join(folder, 'none.yaml')])
    expect(await child.exit()).to.equal(2)
    expect(child.stderr).to.match(/^castellan kprf: cannot read .*none\.yaml \(ENOENT\)/)
  })
})

function existsWithLines(file: string): boolean {
  try {
    return readFileSync(file, 'utf8').endsWith('\n')
  } catch {
    return false
  }
}
