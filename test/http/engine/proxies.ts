import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { RawSocket } from '../../support/raw-socket.js'
import { PROXIED } from './watched-app.js'

/** How a proxy is started. */
export interface ProxyKind {
  readonly name: string
  /** Its package in Debian. */
  readonly package: string
  /** Prints its version. */
  readonly probe: readonly string[]
  /** @param folder where its socket `front` and its files are */
  config(folder: string, backend: URL): string
  command(configFile: string, folder: string): readonly string[]
}

/** Longest a proxy may take to start. */
const PATIENCE_MS = 20_000

/** One connection to the gateway for all clients, and as little checking of their requests as there can be. */
export const proxyKinds: readonly ProxyKind[] = [
  {
    name: 'nginx',
    package: 'nginx',
    probe: ['nginx', '-v'],
    config: (folder, { host }) => `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${folder}/client;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  ignore_invalid_headers off;
  underscores_in_headers on;
  merge_slashes off;
  large_client_header_buffers 4 64k;
  upstream gateway { server ${host}; keepalive 1; }
  server {
    listen unix:${folder}/front;
    location / {
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host localhost;
      proxy_set_header ${PROXIED} yes;
      proxy_request_buffering off;
      proxy_next_upstream off;
    }
  }
}
`,
    command: (configFile, folder) => ['nginx', '-p', folder, '-e', `${folder}/error.log`, '-c', configFile]
  },
  {
    name: 'haproxy',
    package: 'haproxy',
    probe: ['haproxy', '-v'],
    config: (folder, { host }) => `
global
  maxconn 256
defaults
  mode http
  option accept-invalid-http-request
  timeout connect 10s
  timeout client 10s
  timeout server 10s
frontend front
  bind ${folder}/front
  http-request set-header ${PROXIED} yes
  default_backend gateway
backend gateway
  http-reuse always
  server one ${host} pool-max-conn 1
`,
    command: configFile => ['haproxy', '-db', '-f', configFile]
  }
]

/** Whether the proxy is installed; says so where it is not, for what is skipped is not tested. */
export function isInstalled({ name, package: debian, probe: [command = '', ...args] }: ProxyKind): boolean {
  const isThere = spawnSync(command, args).status === 0
  if (!isThere)
    console.error(
      `!!! SKIPPED: ${name} is not installed (Debian: apt-get install ${debian}); nothing is tested behind it`
    )
  return isThere
}

/** A proxy in front of a gateway, in a process of its own. */
export class FrontProxy {
  /** Of its unix socket. */
  readonly url: string
  readonly #child: ChildProcess
  readonly #folder: string
  #said = ''

  private constructor(kind: ProxyKind, backend: URL) {
    this.#folder = mkdtempSync(join(tmpdir(), `castellan-${kind.name}-`))
    const configFile = join(this.#folder, 'config')
    writeFileSync(configFile, kind.config(this.#folder, backend))
    const [command = '', ...args] = kind.command(configFile, this.#folder)
    this.#child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const output of [this.#child.stdout!, this.#child.stderr!])
      output.on('data', (data: Buffer) => (this.#said += data.toString()))
    this.url = `unix:${this.#folder}/front`
  }

  static async start(kind: ProxyKind, backend: URL): Promise<FrontProxy> {
    const proxy = new FrontProxy(kind, backend)
    const giveUpAt = performance.now() + PATIENCE_MS
    for (;;) {
      const socket = await RawSocket.open(proxy.url).catch(() => undefined)
      if (socket !== undefined) {
        socket.destroy()
        return proxy
      }
      if (proxy.#child.exitCode !== null || performance.now() > giveUpAt) {
        await proxy.stop()
        throw new Error(`${kind.name} does not start: ${proxy.#said}`)
      }
      await sleep(20)
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL')
      await once(this.#child, 'exit')
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
