import { readFileSync } from 'node:fs'
import { type Agent, type IncomingMessage, request } from 'node:http'
import { type ProxyKind, proxyKinds } from '../../http/engine/proxies.js'

export const kindOf = (name: string): ProxyKind => proxyKinds.find(one => one.name === name)!

export interface Ports {
  readonly port: number
  readonly management: number
}

/** The file of docs/deploy, for the gateways of the test. */
export function haproxy(folder: string, [one, two]: readonly Ports[]): string {
  return readFileSync('docs/deploy/haproxy.cfg', 'utf8')
    .replace('bind :80', `bind ${folder}/front`)
    .replace('10.0.0.1:8080', `127.0.0.1:${one!.port} port ${one!.management}`)
    .replace('10.0.0.2:8080', `127.0.0.1:${two!.port} port ${two!.management}`)
}

export function nginx(folder: string, ports: readonly Ports[]): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(it => `${it}_temp_path ${folder}/${it};`)
  const text = readFileSync('docs/deploy/nginx.conf', 'utf8')
    .replace('http {', `http {\naccess_log off;\n${temporary.join('\n')}`)
    .replace('listen 80;', `listen unix:${folder}/front;`)
    .replaceAll('/run/castellan-out', folder)
    .replaceAll('10.0.0.1:8080', `127.0.0.1:${ports[0]!.port}`)
    .replaceAll('10.0.0.2:8080', `127.0.0.1:${ports[1]!.port}`)
  return `daemon off;\nmaster_process off;\npid ${folder}/nginx.pid;\nerror_log ${folder}/error.log;\n${text}`
}

/** @returns status and body of the answer, or what the connection failed with */
export const ask = (agent: Agent, socketPath: string, method: string, path: string, body?: string): Promise<string> =>
  new Promise(resolve => {
    const headers = { host: 'localhost', ...(body !== undefined && { 'content-type': 'application/json' }) }
    const sent = request({ socketPath, agent, method, path, headers })
    sent.once('error', error => resolve(`${error.message} (${sent.reusedSocket ? 'reused' : 'new'} connection)`))
    sent.once('response', (response: IncomingMessage) => {
      let text = ''
      response.setEncoding('utf8').on('data', (data: string) => (text += data))
      response
        .once('error', error => resolve(error.message))
        .once('end', () => resolve(`${response.statusCode} ${text}`))
    })
    sent.end(body)
  })
