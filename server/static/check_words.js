// What the page that checks the connection says: for each check its name, and what to do where it fails.

import { _ } from "./language.js";

export const NAMES = {
  browser: _("The browser can make calls"),
  microphone: _("The microphone"),
  server: _("The server answers"),
  stun: _("The server says how you are seen from outside (STUN)"),
  udp: _("The relay over UDP"),
  tcp: _("The relay over TCP"),
  tls: _("The relay over TLS"),
  path: _("Voice through the relay"),
};

export const STATES = { running: _("is being tried…"), good: _("works"), weak: _("works badly"), bad: _("does not work"), none: _("is not there"), unused: _("is not used by this browser") };

export const ADVICE = {
  browser: _("Switch WebRTC on (in Firefox: about:config, media.peerconnection.enabled), or take another browser."),
  microphone: _("Allow the microphone for this site in the browser’s address bar, connect one, and close other programs that use it."),
  server: _("The connection to this site breaks. Is something between you and the site, such as a proxy that lets no WebSockets through? Try another network."),
  stun: _("UDP seems to be blocked in your network. Calls then go through the relay."),
  udp: _("UDP is blocked in your network, so voices go another way and may stumble. Another network may be better."),
  tcp: _("TCP to the relay is blocked in your network. If another way works, nothing is lost."),
  tls: _("TLS to the relay is blocked in your network. If another way works, nothing is lost."),
  relay: _("No way to the relay works from your network: many calls will fail. Try another network, for example that of your phone, and tell the operator of this site."),
  path: _("Voices through the relay have gaps or take long. Go closer to the Wi-Fi, use a cable, or let nothing else use the line."),
};

export const ALL_GOOD = _("Everything works. Calls from here should be fine.");
export const WITH_CARE = _("Calls from here should work. Read what is said below.");
export const NO_CALLS = _("Calls from here will not work. Do what is said below.");
export const COPIED = _("Copied.");
