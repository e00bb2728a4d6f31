import { createHash } from 'node:crypto'

/**
 * The content security policy of a page: only its own scripts and styles, nothing from other addresses, and no frame around it.
 */
export const policyOf = (html: string): string =>
  [
    "default-src 'none'",
    `script-src ${hashesOf(html, 'script')}`,
    `style-src ${hashesOf(html, 'style')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join('; ')

function hashesOf(html: string, element: 'script' | 'style'): string {
  const texts = [...html.matchAll(new RegExp(`<${element}>([\\s\\S]*?)</${element}>`, 'g'))].map(match => match[1]!)
  return texts.map(text => `'sha256-${createHash('sha256').update(text).digest('base64')}'`).join(' ') || "'none'"
}

/** Headers of every page. `no-store` is for pages that change; others may say `no-cache`. */
export const PAGE_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin'
}
