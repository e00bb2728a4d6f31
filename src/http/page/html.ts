import htm from 'htm'
import { h, type VNode } from 'preact'

/** Templates of the page: `<p class=${name}>…</p>` between backquotes. */
export const html: (strings: TemplateStringsArray, ...values: unknown[]) => VNode = htm.bind(h) as never

/** What a component may return or contain. */
export type View = VNode | readonly VNode[] | string | null
