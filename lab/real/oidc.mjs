// oidc.mjs PACKAGE ISSUER PORT KEYFILE CERT KEY REDIRECT [userinfo]: a provider of OpenID Connect (npm oidc-provider, certified) with a login
// form, people with groups, and PKCE for all.
//
// People: alice (ops, dev), bob (dev), carol (audit), eve (groups with markup), mallory (no group; alice's address, not verified), locked (refused after the form).
// The password of NAME is pw-NAME. Client: jarvis-web. Claims stand in the ID token; with `userinfo` in userinfo alone.
import { pathToFileURL } from 'node:url'
import https from 'node:https'
import fs from 'node:fs'
const [modules, issuer, port, keyfile, cert, key, redirect, where] = process.argv.slice(2)
const { default: Provider } = await import(pathToFileURL(modules + '/lib/index.js'))
const people = {
  alice: { name: 'Alice', email: 'alice@lab.test', email_verified: true, groups: ['ops', 'dev'] },
  bob: { name: 'Bob', email: 'bob@lab.test', email_verified: true, groups: ['dev'] },
  carol: { name: 'Carol', email: 'carol@lab.test', email_verified: true, groups: 'audit' }, // some providers give one group as a text
  eve: { name: 'Eve', groups: ['<script>alert(1)</script>', 'a`b"c', 'two\nlines'] },
  mallory: { name: 'Mallory', email: 'alice@lab.test', email_verified: false, groups: [] },
}
const provider = new Provider(issuer, {
  jwks: JSON.parse(fs.readFileSync(keyfile)),
  clients: [{ client_id: 'jarvis-web', client_secret: 'websecret-websecret-websecret', redirect_uris: [redirect], response_types: ['code'], grant_types: ['authorization_code'] }],
  pkce: { required: () => true },
  scopes: ['openid'],
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], groups: ['groups'] },
  conformIdTokenClaims: where === 'userinfo',
  findAccount: (ctx, id) => people[id] && { accountId: id, claims: () => ({ sub: id, preferred_username: id, ...people[id] }) },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (ctx, i) => `/interaction/${i.uid}` },
  cookies: { keys: ['lab'] },
  ttl: { AccessToken: 300, IdToken: 300, AuthorizationCode: 60, Session: 3600, Interaction: 600, Grant: 3600 },
})
const body = (req) => new Promise((ok) => { let b = ''; req.on('data', (c) => (b += c)); req.on('end', () => ok(new URLSearchParams(b))) })
const app = provider.callback()
async function handle(req, res) {
  if (!req.url.startsWith('/interaction/')) return app(req, res)
  try {
    const d = await provider.interactionDetails(req, res)
    if (d.prompt.name === 'consent') { // given without asking
      const g = (d.grantId && (await provider.Grant.find(d.grantId))) || new provider.Grant({ accountId: d.session.accountId, clientId: d.params.client_id })
      const { missingOIDCScope, missingOIDCClaims } = d.prompt.details
      if (missingOIDCScope) g.addOIDCScope(missingOIDCScope.join(' '))
      if (missingOIDCClaims) g.addOIDCClaims(missingOIDCClaims)
      return await provider.interactionFinished(req, res, { consent: { grantId: await g.save() } }, { mergeWithLastSubmission: true })
    }
    if (req.method === 'POST') {
      const b = await body(req), u = b.get('user')
      if (people[u] && b.get('password') === 'pw-' + u) return await provider.interactionFinished(req, res, { login: { accountId: u, amr: ['pwd'] } })
      if (u === 'locked') return await provider.interactionFinished(req, res, { error: 'access_denied', error_description: 'account is locked' })
      res.statusCode = 401
    }
    res.setHeader('content-type', 'text/html; charset=utf-8')
    res.end(`<!doctype html><html lang=en><title>Login</title><h1>Lab login</h1><form method=post action="${req.url}"><label>User <input name=user autofocus></label> <label>Password <input name=password type=password></label> <button>Log in</button></form>`)
  } catch (e) { res.statusCode = 400; res.end(String(e)) }
}
https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, handle).listen(Number(port), '127.0.0.1')
