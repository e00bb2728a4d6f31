import { spawn, spawnSync } from 'node:child_process'
import { expect } from 'chai'
import { WatchedApp } from './watched-app.js'

const COUNT = 100
const FOLDER = 'test/http/engine/clients'

/** A client of a standard library, or a program, and its command lines; `URL` stands for the gateway's. */
interface ClientKind {
  readonly name: string
  /** Prints its version. */
  readonly probe: string
  /** Sends {@link COUNT} requests, a third each without a body, in chunks, and with a length or an expectation. */
  readonly sends: string
  /** How many connections they take. */
  readonly connections: number
  /** Leaves in the middle of a body. */
  readonly cut?: string
}

const clients: readonly ClientKind[] = [
  ...ofProgram("Python's http.client", 'python3', `python3 ${FOLDER}/client.py`, 'keep', 1),
  ...ofProgram("Python's urllib", 'python3', `python3 ${FOLDER}/client.py`, 'close', COUNT),
  ...ofProgram("Go's net/http", 'go', `go run ${FOLDER}/client.go`, 'keep', 1),
  ...ofProgram("Go's net/http without keep-alive", 'go', `go run ${FOLDER}/client.go`, 'close', COUNT),
  ...ofProgram("Java's HttpClient, which offers HTTP/2", 'java', `java ${FOLDER}/Client.java`, 'keep', 1),
  ...ofProgram("Java's HttpURLConnection", 'java', `java ${FOLDER}/Client.java`, 'old', 1),
  ...ofProgram("PHP's streams", 'php', `php ${FOLDER}/client.php`, 'streams', COUNT),
  ...ofCurl('HTTP/1.0', '--http1.0', COUNT),
  ...ofCurl('HTTP/1.1', '--http1.1', 1),
  ...ofCurl('an expectation', '-X POST -d @package.json -H Expect:100-continue', 1),
  ...ofCurl('chunks', '-X POST -d @package.json -H Transfer-Encoding:chunked', 1),
  {
    name: 'wget',
    probe: 'wget --version',
    sends: `for n in $(seq 0 ${COUNT - 1}); do echo URL/loud/$n; done | wget -q -i - -O - | tail -c 16 | grep -q 99 && echo done`,
    connections: 1
  }
]

function ofProgram(name: string, tool: string, command: string, mode: string, connections: number): ClientKind[] {
  const probe = `${tool} ${tool === 'go' ? 'version' : '--version'}`
  return [{ name, probe, sends: `${command} ${mode} URL ${COUNT}`, connections, cut: `${command} cut URL 0` }]
}

function ofCurl(what: string, flags: string, connections: number): ClientKind[] {
  const curl = `curl -sS ${flags}`
  return [
    {
      name: `curl with ${what}`,
      probe: 'curl --version',
      sends: `${curl} URL/loud/[0-${COUNT - 1}] | tail -c 12 | grep -q /99 && echo done`,
      connections,
      cut: `${curl} --max-time 0.3 --limit-rate 1k --data-binary @package-lock.json URL/loud/cut || true`
    }
  ]
}

describe('clients of standard libraries', () => {
  let app: WatchedApp
  before(async () => {
    app = await WatchedApp.start()
  })
  after(() => app?.close())

  const run = (command: string): Promise<string> =>
    new Promise(resolve => {
      const child = spawn('bash', ['-o', 'pipefail', '-c', command.replaceAll('URL', app.url)])
      let said = ''
      for (const output of [child.stdout, child.stderr]) output.on('data', (data: Buffer) => (said += data.toString()))
      child.on('close', () => resolve(said))
    })

  for (const { name, probe, sends, connections, cut } of clients) {
    describe(name, () => {
      before(function () {
        if (spawnSync('bash', ['-c', probe]).status === 0) return
        console.error(`!!! SKIPPED: ${probe} does not run here; nothing is tested with ${name}`)
        this.skip()
      })

      it(`gets ${COUNT} answers over ${connections === 1 ? 'one connection' : 'a connection each'}`, async () => {
        app.handled.length = 0
        app.ports.clear()
        expect(await run(sends)).to.match(/done\s*$/)
        const paths = app.handled.map(line => Number(/^[A-Z]+ \/(\d+) /.exec(line)?.[1]))
        expect(paths).to.deep.equal(Array.from({ length: COUNT }, (_, n) => n))
        expect(app.ports.size).to.equal(connections)
      })

      if (cut !== undefined)
        it('leaves nothing behind when it goes in the middle of a body', async () => {
          app.handled.length = 0
          app.begun = 0
          await run(cut)
          await app.untilOver()
          expect(app.handled).to.deep.equal([])
        })
    })
  }
})
